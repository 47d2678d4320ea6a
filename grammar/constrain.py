"""An ontology as a grammar for language models: constrained decoding then writes only trees it allows.

    start: addtolist
    addtolist: "(" "AddToList" (free addtolist1 | "(" ")") ")"
    ...

The grammar accepts canonical trees (no white space, one leaf a word), with any words. Children may come
in any order, so what a label may still take is a finite automaton over the children that stand only once
or must stand; it is minimised and written as right-linear rules. Both notations, Lark (also the dialect
of llguidance) and GBNF (llama.cpp, XGrammar), are written from the same rules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field

from grammar.ontology import Node, Ontology

NOTATIONS = ("lark", "gbnf")
EXACT = 6
"""Children that are counted exactly below one label; the automaton has at most 2 ** EXACT states for them."""

_PLAIN = r"[^ \t\r\n()\\]"
_ESCAPED = r"[ ()\\]"

_EMPTY = '"(" ")"'

_State = tuple[frozenset[str], int]


@dataclass(slots=True)
class Rules:
    """Rules in the syntax that both notations share, and what a reader must know of them.

    Attributes:
        rules: name -> alternatives, brackets, `*`, `?`, names and quoted strings; `leaf` is left to the notation.
        roots: names of the rules of whole trees.
        labels: the labels that can be reached.
        notes: where the grammar accepts more than the ontology, in words.
    """

    rules: dict[str, str] = field(default_factory=dict)
    roots: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def export(ontology: Ontology, notation: str, exact: int = EXACT) -> str:
    """The grammar as text.

    Args:
        ontology: what may hold what.
        notation: one of `NOTATIONS`.
        exact: how many children of one label are counted; more make a superset, named in a comment on top.

    Raises:
        ValueError: no label may be the root of a tree.
    """
    made = rules(ontology, exact)
    comment, root, arrow = ("//", "start", ": ") if notation == "lark" else ("#", "root", " ::= ")
    notes = [
        f"Trees of an ontology of {len(ontology.nodes)} labels (sha256 {ontology.sha256()[:12]}), in canonical form.",
        "Words are free: hold them against the utterance, and a word spelt like an intent's label, afterwards.",
        *made.notes,
    ]
    lines = [f"{comment} {note}" for note in notes]
    lines += ["", f"{root}{arrow}{' | '.join(made.roots)}"]
    lines += [f"{name}{arrow}{body}" for name, body in made.rules.items()]
    if notation == "lark":
        # A lexer names a word by what it is spelt like, so every label is a word too.
        words = " | ".join(["WORD", *map(_quote, made.labels)])
        lines += ['leaf: "(" word ")"', f"word: {words}", rf"WORD: /({_PLAIN}|\\{_ESCAPED})+/"]
    else:
        lines += ['leaf ::= "(" char+ ")"', rf'char ::= {_PLAIN} | "\\" {_ESCAPED}']
    return "\n".join(lines) + "\n"


def rules(ontology: Ontology, exact: int = EXACT) -> Rules:
    """One rule for each label that can be reached, and one for each state between its children."""
    made = Rules(labels=_reached(ontology))
    names = _names(made.labels)
    if not ontology.roots:
        raise ValueError("the ontology has no roots: no tree can be written; add an intent, or a label to `roots`")
    made.roots = [names[label] for label in sorted(ontology.roots)]
    for label in made.labels:
        node = ontology.nodes[label]
        counted, rest = _counted(node, exact)
        if rest:
            some = ", ".join(rest[:8]) + (f" and {len(rest) - 8} more" if len(rest) > 8 else "")
            lacking = sorted(node.required & set(rest))
            made.notes.append(
                f"`{label}` accepts more than the ontology: these may stand more than once: {some}"
                + (f"; these may be left out: {', '.join(lacking)}" if lacking else "")
            )
        _write(made.rules, label, node, counted, names)
    unreached = sorted(set(ontology.nodes) - set(made.labels))
    if unreached:
        made.notes.append(f"No tree holds these labels: {', '.join(unreached)}")
    return made


def _reached(ontology: Ontology) -> list[str]:
    found: set[str] = set()
    stack = list(ontology.roots)
    while stack:
        label = stack.pop()
        if label not in found:
            found.add(label)
            stack += ontology.nodes[label].takes
    return sorted(found)


def _names(labels: Collection[str]) -> dict[str, str]:
    """A rule name for each label that both notations allow: small letters and digits, and no two alike."""
    names: dict[str, str] = {}
    used = {"start", "root", "leaf", "word", "char"}
    for label in labels:
        slug = re.sub(r"[^a-z0-9]", "", label.lower())
        slug = slug if slug[:1].isalpha() else f"label{slug}"
        # Numbers are for the states, so a name does not end in one.
        name = slug = slug + "x" if slug[-1].isdigit() else slug
        while name in used:
            name += "x"
        used.add(name)
        names[label] = name
    return names


def _counted(node: Node, exact: int) -> tuple[list[str], list[str]]:
    """(children whose presence is followed, children that should be but are too many)."""
    matter = (node.takes - node.repeated) | node.required
    # What must stand comes first, then what is common: there a surplus would hurt most.
    order = sorted(matter, key=lambda child: (child not in node.required, -node.counts.get(child, 0), child))
    return order[:exact], sorted(order[exact:])


def _write(rules: dict[str, str], label: str, node: Node, counted: list[str], names: dict[str, str]) -> None:
    """Add the rules of one label: its automaton, minimised, state by state."""
    name = names[label]
    unmarked = [names[child] for child in sorted(node.takes - set(counted))] + ["leaf"] * node.words
    free = unmarked[0] if len(unmarked) == 1 else f"{name}0"
    symbol = {child: names[child] if child else free for child in [*counted, *([""] if unmarked else [])]}
    start: _State = (frozenset(), 0)
    arcs: dict[_State, dict[str, _State]] = {}
    stack = [start]
    while stack:
        state = stack.pop()
        if state not in arcs:
            seen, total = state
            arcs[state] = {
                child: (seen | {child} if child else seen, min(total + 1, node.least))
                for child in symbol
                if child not in seen or child in node.repeated
            }
            stack += arcs[state].values()
    ends = {s: s[1] >= node.least and node.required & set(counted) <= s[0] for s in arcs}
    block = _minimal(arcs, ends)
    # One state speaks for its block; blocks are numbered in the order in which they are met.
    number: dict[int, int] = {}
    met: list[_State] = []

    def after(state: _State) -> str:
        """What may follow once `state` is reached: the name of its rule, or the rule itself where it is short."""
        loops = [symbol[child] for child, to in arcs[state].items() if block[to] == block[state]]
        if len(loops) == len(arcs[state]) and ends[state]:
            return f"{_group(loops)}*" if loops else ""
        if block[state] not in number:
            number[block[state]] = len(number) + 1
            met.append(state)
        return f"{name}{number[block[state]]}"

    if len(unmarked) > 1:
        rules[free] = " | ".join(unmarked)
    first = [f"{symbol[child]} {after(to)}".strip() for child, to in arcs[start].items()]
    rules[name] = f'"(" {_quote(label)} {_group(first + [_EMPTY] * ends[start])} ")"'
    for state in met:  # grows as further states are met
        rule = f"{name}{number[block[state]]}"
        loops = [symbol[child] for child, to in arcs[state].items() if block[to] == block[state]]
        rest = [
            f"{symbol[child]} {after(to)}".strip() for child, to in arcs[state].items() if block[to] != block[state]
        ]
        parts = [f"{_group(loops)}*" if loops else "", _group(rest, bool(ends[state])) + "?" * ends[state]]
        rules[rule] = " ".join(filter(None, parts))


def _group(alternatives: list[str], always: bool = False) -> str:
    text = " | ".join(alternatives)
    return f"({text})" if len(alternatives) > 1 or (always and " " in text) else text


def _minimal(arcs: dict[_State, dict[str, _State]], final: dict[_State, bool]) -> dict[_State, int]:
    """State -> number of its class of states that accept the same rest (Moore 1956)."""
    block = {state: int(final[state]) for state in arcs}
    while True:
        signs = {state: (block[state], *sorted((c, block[to]) for c, to in arcs[state].items())) for state in arcs}
        order = {sign: i for i, sign in enumerate(dict.fromkeys(signs.values()))}
        if len(order) == len(set(block.values())):
            return block
        block = {state: order[signs[state]] for state in arcs}


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
