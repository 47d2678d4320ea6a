"""Ontology findings (E2): labels that are unknown, in the wrong place, missing, or written as words."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from grammar.finding import Finding, Fix, Related
from grammar.ontology import Ontology
from grammar.rules import finding
from grammar.tree import Leaf, Span, Tree, escape

_SHOWN = 4
"""Labels named in one help; more are counted."""


def check_labels(
    tree: Tree, text: str, ontology: Ontology, spoken: Collection[str] = ()
) -> tuple[list[Finding], list[Leaf]]:
    """Hold a tree against an ontology.

    Args:
        tree: read from `text`, with spans; a label ``""`` was found unusable before and is passed over.
        text: what the tree was read from.
        ontology: what may stand where.
        spoken: the words of the utterance. A leaf among them is a word even if a label is spelt like it.

    Returns:
        The findings, and the leaves that are words for certain (not labels written as words).
    """
    findings: list[Finding] = []
    leaves: list[Leaf] = []
    if tree.label in ontology and tree.label not in ontology.roots:
        findings.append(
            finding("E209", _label(tree), label=tree.label, help=f"the roots are {_some(sorted(ontology.roots))}")
        )
    stack: list[Tree | Leaf] = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, Leaf):
            leaves.append(item)
            continue
        if _right(item, ontology, spoken):
            stack.extend(reversed(item.children))
            continue
        children = _mend(item.children, text, ontology, spoken, findings)
        if item.label in ontology:
            findings += _node(item, children, ontology)
        elif item.label:
            findings.append(_unknown(item, ontology))
        stack.extend(reversed(children))
    return findings, leaves


def _right(tree: Tree, ontology: Ontology, spoken: Collection[str]) -> bool:
    """Whether a node and its children are right beyond doubt; most are, and need no closer look."""
    nodes = ontology.nodes
    node = nodes.get(tree.label)
    if node is None or len(tree.children) < node.least:
        return False
    seen = set()
    for child in tree.children:
        if isinstance(child, Leaf):
            if not node.words or (child.word in nodes and child.word not in spoken):
                return False
        elif child.label not in node.takes or (child.label in seen and child.label not in node.repeated):
            return False
        else:
            seen.add(child.label)
    return node.required <= seen


def _mend(
    children: Sequence[Tree | Leaf], text: str, ontology: Ontology, spoken: Collection[str], findings: list[Finding]
) -> list[Tree | Leaf]:
    """The children as they were meant: nodes that were written as words become nodes (E207, E208)."""
    mended: list[Tree | Leaf] = []
    for group in _brackets(children, text):
        first = group[0]
        if isinstance(first, Tree) or first.word not in ontology or first.word in spoken:
            mended += group
            continue
        label, words = first.word, [leaf for leaf in group[1:] if isinstance(leaf, Leaf)]
        start, end = _span(first).start, _span(group[-1]).end
        if words:
            inner = "".join(f"({escape(leaf.word)})" for leaf in words)
            findings.append(
                finding(
                    "E208",
                    Span(start, end),
                    Fix(Span(start, end), label + inner, safe=False),
                    text=text[start:end],
                    count=len(group),
                    label=label,
                    mended=f"({label}{inner})",
                )
            )
        elif ontology.kind(label) == "intent":
            findings.append(finding("E207", _span(first), Fix(Span(end, end), "()", safe=True), label=label))
        else:
            mended += group
            continue
        mended.append(Tree(label, words, Span(start, end), _span(first)))
    return mended


def _brackets(children: Sequence[Tree | Leaf], text: str) -> list[list[Tree | Leaf]]:
    """Children grouped by the pair of brackets they were written in: `(Star Wars)` is one group of two leaves."""
    groups: list[list[Tree | Leaf]] = []
    for child in children:
        last = groups[-1][-1] if groups else None
        if (
            isinstance(last, Leaf)
            and isinstance(child, Leaf)
            and not text[_span(last).end : _span(child).start].strip(" \t\r\n")
        ):
            groups[-1].append(child)
        else:
            groups.append([child])
    return groups


def _node(tree: Tree, children: Sequence[Tree | Leaf], ontology: Ontology) -> list[Finding]:
    """What is wrong between a known label and its children."""
    node = ontology.nodes[tree.label]
    findings: list[Finding] = []
    seen: dict[str, Tree] = {}
    wordless = not node.words
    for child in children:
        if isinstance(child, Leaf):
            if wordless:
                findings.append(_word(tree.label, child, ontology))
                wordless = False  # once a node
        elif child.label in ontology:
            if child.label not in node.takes:
                findings.append(_misplaced(tree.label, child, ontology))
            elif child.label in seen and child.label not in node.repeated:
                first = Related(_label(seen[child.label]), "the first stands here")
                findings.append(finding("E204", _label(child), related=first, child=child.label, parent=tree.label))
            seen.setdefault(child.label, child)
        elif near := child.label and ontology.nearest(child.label):
            seen.setdefault(near, child)  # misspelt, not missing
    absent = sorted(node.required - set(seen))
    findings += [finding("E203", _label(tree), child=child, parent=tree.label) for child in absent]
    total = len(children) + len(absent)
    if total < node.least:
        what = "children" if node.takes else "words"
        help_ = f"add {what}" + (f", or remove `{tree.label}` and keep its child" if node.kind == "function" else "")
        count = "no child" if total == 0 else f"{total} child" if total == 1 else f"{total} children"
        findings.append(
            finding("E205", _label(tree), label=tree.label, count=count, least=f"at least {node.least}", help=help_)
        )
    return findings


def _unknown(tree: Tree, ontology: Ontology) -> Finding:
    near = ontology.nearest(tree.label)
    if near:
        fix = Fix(_label(tree), near, safe=False)
        return finding("E201", _label(tree), fix, label=tree.label, help=f"the ontology has `{near}`")
    return finding("E201", _label(tree), label=tree.label, help="the ontology has no label like it; add it there")


def _misplaced(parent: str, child: Tree, ontology: Ontology) -> Finding:
    takes = ontology.nodes[parent].takes
    help_ = f"`{parent}` takes {_some(sorted(takes))}" if takes else f"`{parent}` takes words only"
    homes = sorted(label for label, node in ontology.nodes.items() if child.label in node.takes)
    if homes:
        help_ += f"; `{child.label}` stands below {_some(homes)}"
    return finding("E202", _label(child), child=child.label, parent=parent, help=help_)


def _word(parent: str, leaf: Leaf, ontology: Ontology) -> Finding:
    takes = ontology.nodes[parent].takes
    slots = sorted(label for label in takes if ontology.takes_words(label))
    if slots:
        help_ = f"put `{escape(leaf.word)}` below a slot; `{parent}` takes {_some(slots)}"
    else:
        help_ = f"remove it, or set `words = true` for `{parent}` in the ontology"
    return finding("E206", _span(leaf), label=parent, help=help_)


def _some(labels: Sequence[str]) -> str:
    shown = ", ".join(f"`{label}`" for label in labels[:_SHOWN])
    return shown + (f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else "")


def _label(tree: Tree) -> Span:
    assert tree.label_span is not None
    return tree.label_span


def _span(item: Tree | Leaf) -> Span:
    assert item.span is not None
    return item.span
