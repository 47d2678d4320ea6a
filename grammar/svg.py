"""A tree as SVG: a drawing that pages, editors and slides can show. The same tree gives the same bytes.

Up to a page wide it grows downwards; wider ones are outlines that grow to the right, a line for each slot, so that
a tree of sixty words is read by scrolling, not by shrinking. Where most letters of the words are of a script
written from right to left, the first child stands on the right.

Intents, functions and slots have their own colours, light and dark; widths are those of a fixed-width font.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field

from rich.cells import cell_len

from grammar.infer import infer
from grammar.ontology import Ontology
from grammar.page import text as escaped
from grammar.tree import Leaf, Tree

LAYOUTS = ("auto", "down", "right")
_WIDEST = 1100
"""Pixels that a drawing that grows downwards may take."""

_CELL = 8.4
"""Pixels of a terminal cell; 14 px in the fonts below."""
_ROW = 28
_LEVEL = 58
_PAD = 8
_GAP = 14
_MARGIN = 12
_INDENT = 26
_LONGEST = 48
"""Cells of a word or label that are shown."""

STYLE = """
.tw { --ink: #1c2128; --line: #9aa5b1; --intent: #1f5fbf; --function: #6b4fa0; --slot: #1d7a4c; --fill: #fff; }
@media (prefers-color-scheme: dark) { .tw { --ink: #e4e8ed; --line: #5b6572; --intent: #7fb2ff; --function: #c1a5f5;
  --slot: #6fd3a0; --fill: #15191e; } }
.tw text { font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: var(--ink);
  unicode-bidi: isolate; white-space: pre; dominant-baseline: central; }
.tw path { fill: none; stroke: var(--line); stroke-width: 1.3; }
.tw rect { fill: var(--fill); stroke-width: 1.3; }
.tw .intent rect { stroke: var(--intent); } .tw .intent text { fill: var(--intent); font-weight: bold; }
.tw .function rect { stroke: var(--function); stroke-dasharray: 4 2; } .tw .function text { fill: var(--function); }
.tw .slot rect { stroke: var(--slot); } .tw .slot text { fill: var(--slot); }
"""


@dataclass(slots=True)
class _Box:
    """A node or a word with its place: `x` is the middle where it grows down, the left edge where it grows right."""

    text: str
    kind: str
    width: float
    level: int
    x: float = 0
    y: float = 0
    children: list[_Box] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


def svg(tree: Tree, ontology: Ontology | None = None, layout: str = "auto", style: bool = True) -> str:
    """The drawing as one `svg` element.

    Args:
        tree: any tree.
        ontology: names the kinds of labels; without it they are guessed by the shape of the tree.
        layout: one of `LAYOUTS`.
        style: whether the colours are in the drawing; a page with many has `STYLE` once instead.
    """
    mirrored = is_right_to_left(tree)
    if layout != "right":
        boxes = _boxes(tree, ontology, flat=False)
        width = _place_down(boxes, mirrored)
        if layout == "down" or width <= _WIDEST:
            height = max(box.y for box in boxes) + _ROW / 2 + _MARGIN
            return _drawn(tree, [_down(box) for box in boxes], width, height, style)
    boxes = _boxes(tree, ontology, flat=True)
    width = _place_right(boxes)
    return _drawn(tree, [_right(box) for box in boxes], width, len(boxes) * _ROW + 2 * _MARGIN, style)


def is_right_to_left(tree: Tree) -> bool:
    """Whether most letters of the words are of a script that is written from right to left."""
    kinds = [unicodedata.bidirectional(char) for word in tree.words() for char in word]
    right = sum(kind in ("R", "AL") for kind in kinds)
    return right > sum(kind == "L" for kind in kinds)


def _boxes(tree: Tree, ontology: Ontology | None, flat: bool) -> list[_Box]:
    """Nodes and words in preorder; `flat`: words of a node that has nothing else are part of its box."""
    guessed = infer([tree])
    found: list[_Box] = []
    stack: list[tuple[Tree | Leaf, _Box | None]] = [(tree, None)]
    while stack:
        item, parent = stack.pop()
        level = parent.level + 1 if parent else 0
        if isinstance(item, Leaf):
            shown = _short(item.word)
            box = _Box(shown, "word", cell_len(shown) * _CELL, level)
        else:
            kind = (ontology and ontology.kind(item.label)) or guessed.kind(item.label) or "slot"
            shown = _short(item.label or "?")
            box = _Box(shown, kind, cell_len(shown) * _CELL * (1.02 if kind == "intent" else 1) + 2 * _PAD, level)
            if flat and all(isinstance(child, Leaf) for child in item.children):
                box.words = [_short(child.word) for child in item.children if isinstance(child, Leaf)]
            else:
                stack += [(child, box) for child in reversed(item.children)]
        if parent:
            parent.children.append(box)
        found.append(box)
    return found


def _place_down(boxes: list[_Box], mirrored: bool) -> float:
    """Children side by side below the middle of their parent; returns the width of all."""
    # Widths from below: a subtree is as wide as its children together, or as its own label.
    span: dict[int, float] = {}
    for box in reversed(boxes):
        below = sum(span[id(child)] for child in box.children) + _GAP * max(0, len(box.children) - 1)
        span[id(box)] = max(box.width, below)
    total = span[id(boxes[0])] + 2 * _MARGIN
    start = {id(boxes[0]): float(_MARGIN)}
    for box in boxes:
        left, width = start[id(box)], span[id(box)]
        box.x, box.y = left + width / 2, _MARGIN + _ROW / 2 + box.level * _LEVEL
        below = sum(span[id(child)] for child in box.children) + _GAP * max(0, len(box.children) - 1)
        at = left + (width - below) / 2
        for child in reversed(box.children) if mirrored else box.children:
            start[id(child)] = at
            at += span[id(child)] + _GAP
    for box in reversed(boxes):  # a parent stands above the middle of its first and last child
        if box.children:
            middle = (box.children[0].x + box.children[-1].x) / 2
            edge = start[id(box)]
            box.x = min(max(middle, edge + box.width / 2), edge + span[id(box)] - box.width / 2)
    return total


def _place_right(boxes: list[_Box]) -> float:
    widest = 0.0
    for row, box in enumerate(boxes):
        box.x, box.y = _MARGIN + box.level * _INDENT, _MARGIN + row * _ROW + _ROW / 2
        words = sum(cell_len(word) * _CELL + _GAP for word in box.words)
        widest = max(widest, box.x + box.width + words)
    return widest + _MARGIN


def _down(box: _Box) -> str:
    lines = "".join(
        f'<path d="M{_n(box.x)} {_n(box.y + 11)}C{_n(box.x)} {_n(box.y + 30)} {_n(child.x)} {_n(child.y - 30)} '
        f'{_n(child.x)} {_n(child.y - 11)}"/>'
        for child in box.children
    )
    return lines + _node(box, box.x - box.width / 2)


def _right(box: _Box) -> str:
    parts = []
    if box.children:
        # One stem, and a branch to every child.
        x = box.x + 10
        branches = "".join(f"M{_n(x)} {_n(child.y)}H{_n(child.x)}" for child in box.children)
        parts.append(f'<path d="M{_n(x)} {_n(box.y + 11)}V{_n(box.children[-1].y)}{branches}"/>')
    parts.append(_node(box, box.x, right=True))
    at = box.x + box.width
    # Words of a script that runs to the left stand as they are read: the last one first.
    words = list(reversed(box.words)) if _runs_left("".join(box.words)) else box.words
    for word in words:
        at += _GAP
        wide = cell_len(word) * _CELL
        parts.append(_text(word, at + wide / 2, box.y))
        at += wide
    return "".join(parts)


def _node(box: _Box, left: float, right: bool = False) -> str:
    middle = left + box.width / 2
    if box.kind == "word":
        return _text(box.text, middle + 4 * right, box.y)
    rect = f'<rect x="{_n(left)}" y="{_n(box.y - 11)}" width="{_n(box.width)}" height="22" rx="5"/>'
    return f'<g class="{box.kind}">{rect}{_text(box.text, middle, box.y)}</g>'


def _text(word: str, middle: float, y: float) -> str:
    direction = ' direction="rtl"' if _runs_left(word) else ""
    return f'<text x="{_n(middle)}" y="{_n(y)}" text-anchor="middle"{direction}>{escaped(word)}</text>'


def _drawn(tree: Tree, parts: list[str], width: float, height: float, style: bool) -> str:
    size = f'width="{_n(width)}" height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}"'
    colours = f"<style>{STYLE}</style>" if style else ""
    title = str(tree)
    title = title if len(title) <= 300 else f"{title[:299]}…"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="tw" role="img" {size}>'
        f"<title>{escaped(title)}</title>{colours}\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _runs_left(word: str) -> bool:
    return any(unicodedata.bidirectional(char) in ("R", "AL") for char in word)


def _short(word: str) -> str:
    """A word on one line, cut where it is very long."""
    word = "".join(" " if char.isspace() else char for char in word)
    if cell_len(word) <= _LONGEST:
        return word
    while cell_len(word) > _LONGEST - 1:
        word = word[: max(1, len(word) - max(1, (cell_len(word) - _LONGEST) // 2))]
    return word + "…"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
