"""A tree drawn for people: as a picture, and as brackets over several lines.

and
├─ AddToListIntent
│  └─ add
│     ├─ ItemName ── apples
│     └─ ItemName ── oranges
└─ PlayMusicIntent
   └─ MediaType ── music
"""

from __future__ import annotations

from grammar.tree import Leaf, Tree, escape


def picture(tree: Tree) -> str:
    """One line a node; a node that holds only words has them beside it. No line end after the last."""
    lines: list[str] = []
    # (item, what stands before it on its own line, what stands before the lines below it)
    stack: list[tuple[Tree | Leaf, str, str]] = [(tree, "", "")]
    while stack:
        item, before, below = stack.pop()
        if isinstance(item, Leaf):
            lines.append(f"{before}─ {escape(item.word)}")
        elif _is_flat(item):
            lines.append(" ── ".join([before + item.label, *filter(None, [_words(item)])]))
        else:
            lines.append(before + item.label)
            last = len(item.children) - 1
            stack.extend(
                (child, below + ("└─" if i == last else "├─") + " " * isinstance(child, Tree), below + _stem(i == last))
                for i, child in reversed(list(enumerate(item.children)))
            )
    return "\n".join(lines)


def pretty(tree: Tree, indent: int = 2) -> str:
    """Brackets over several lines; `parse` reads them back. A node that holds only words stays on one line."""
    lines: list[str] = []
    stack: list[tuple[Tree | Leaf, int, str]] = [(tree, 0, "")]
    while stack:
        item, level, closing = stack.pop()
        start = " " * (indent * level)
        if isinstance(item, Leaf):
            lines.append(f"{start}({escape(item.word)}){closing}")
        elif _is_flat(item):
            lines.append(f"{start}{item}{closing}")
        else:
            lines.append(f"{start}({item.label}")
            last = len(item.children) - 1
            stack.extend(
                (child, level + 1, closing + ")" if i == last else "")
                for i, child in reversed(list(enumerate(item.children)))
            )
    return "\n".join(lines)


def _is_flat(tree: Tree) -> bool:
    return all(isinstance(child, Leaf) for child in tree.children)


def _words(tree: Tree) -> str:
    return " ".join(escape(child.word) for child in tree.children if isinstance(child, Leaf))


def _stem(last: bool) -> str:
    return "   " if last else "│  "
