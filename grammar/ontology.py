"""Ontologies: which labels there are and what each may hold. TOML in, TOML out; `infer` drafts one.

    [intents.AddToListIntent]
    takes = ["ItemName", "add"]
    required = []                 # children that must stand there
    repeated = ["ItemName"]       # children that may stand there more than once
    description = "put something on a list"

    [functions.add]
    takes = ["ItemName"]
    least = 2                     # fewest children

    [slots.ItemName]
    words = true                  # may hold words

Three optional keys stand above the tables: `roots`, the labels a whole tree may have (without it,
every intent and every function that takes an intent), and `version`. `[lexicon] words = [...]`
lists words that may be leaves although the utterance does not hold them.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from grammar.tree import is_label, is_writable

KINDS = ("intent", "function", "slot")
_FIELDS = frozenset({"takes", "required", "repeated", "words", "least", "description", "examples", "count", "counts"})
_TYPES = {"words": bool, "least": int, "description": str, "count": int, "counts": dict}
_VERSION = 1
_LEAST = {"intent": 0, "function": 2, "slot": 1}
_IMPOSSIBLE = 1 << 20
_REMEMBERED = 10_000


class OntologyError(ValueError):
    """An ontology file that cannot be used; the message says where and how to mend it."""


@dataclass(frozen=True, slots=True)
class Node:
    """What the ontology says of one label.

    Attributes:
        kind: `intent`, `function` or `slot`.
        takes: labels of its children.
        required: children that must be there.
        repeated: children that may be there more than once.
        words: whether leaves may stand directly below it.
        least: fewest children, leaves included.
        counts: how often each child was seen, where the ontology was inferred.
    """

    kind: str
    takes: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    repeated: frozenset[str] = frozenset()
    words: bool = False
    least: int = 0
    description: str = ""
    examples: tuple[str, ...] = ()
    count: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)


class Ontology:
    """A checked set of labels. Build one with `load`, `loads` or `infer.infer`."""

    def __init__(
        self, nodes: Mapping[str, Node], roots: Collection[str] | None = None, lexicon: Collection[str] = ()
    ) -> None:
        self.nodes = dict(nodes)
        self.lexicon = frozenset(lexicon)
        self._nearest: dict[str, str | None] = {}  # the same misspelling comes again, and looking takes long
        intents = {label for label, node in self.nodes.items() if node.kind == "intent"}
        joining = {n for n, node in self.nodes.items() if node.kind == "function" and node.takes & intents}
        self.roots = frozenset(roots) if roots is not None else frozenset(intents | joining)
        self._check()
        self._costs = self._completion_costs()
        self._heights = self._completion_heights()

    def __contains__(self, label: str) -> bool:
        return label in self.nodes

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ontology):
            return NotImplemented
        return (self.nodes, self.roots, self.lexicon) == (other.nodes, other.roots, other.lexicon)

    __hash__ = None  # type: ignore[assignment]

    def kind(self, label: str) -> str | None:
        """`intent`, `function`, `slot`, or None for an unknown label."""
        return self.nodes[label].kind if label in self.nodes else None

    def labels(self, kind: str | None = None) -> list[str]:
        """The labels, sorted; of one kind if asked for."""
        return sorted(label for label, node in self.nodes.items() if kind in (None, node.kind))

    def takes(self, parent: str, child: str, before: Sequence[str] = ()) -> bool:
        """Whether `child` may come next below `parent`, whose finished children are `before`."""
        node = self.nodes[parent]
        return child in node.takes and (child in node.repeated or child not in before)

    def takes_words(self, label: str) -> bool:
        """Whether leaves may stand directly below `label`."""
        return self.nodes[label].words

    def missing(self, label: str, children: Sequence[str], total: int) -> list[str]:
        """Why a node cannot be closed: its absent required children, or how many it still needs.

        Args:
            label: the node's label.
            children: labels of its children that are nodes.
            total: how many children it has, leaves included.
        """
        node = self.nodes[label]
        absent = sorted(node.required - set(children))
        lack = node.least - total - len(absent)
        return absent + ([f"{lack} more"] if lack > 0 else [])

    def cost(self, label: str) -> int:
        """Fewest actions that complete a node just opened, its RED included."""
        return self._costs[label]

    def height(self, label: str) -> int:
        """Levels of nodes in the tree that completes a node just opened with fewest actions."""
        return self._heights[label]

    def missing_cost(self, label: str, children: Sequence[str], total: int) -> int:
        """Fewest actions, without RED, that give an open node all that it still needs."""
        node = self.nodes[label]
        absent = node.required - set(children)
        lack = max(0, node.least - total - len(absent))
        cost = sum(1 + self._costs[child] for child in absent)
        return cost + self._filler(label, set(children) | absent, lack) if lack else cost

    def nearest(self, label: str) -> str | None:
        """The known label that is spelt most like `label`, if any is close."""
        if label not in self._nearest:
            if len(self._nearest) == _REMEMBERED:
                self._nearest.clear()
            same = [known for known in self.nodes if known.lower() == label.lower()]
            close = same or difflib.get_close_matches(label, sorted(self.nodes), 1)
            self._nearest[label] = close[0] if close else None
        return self._nearest[label]

    def sha256(self) -> str:
        """A hash of what it allows (descriptions and counts left out)."""
        facts = {
            label: [n.kind, sorted(n.takes), sorted(n.required), sorted(n.repeated), n.words, n.least]
            for label, n in sorted(self.nodes.items())
        }
        text = json.dumps([facts, sorted(self.roots), sorted(self.lexicon)], ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def dumps(self, notes: Mapping[str, Sequence[str]] | None = None) -> str:
        """The ontology as TOML; `loads` reads it back.

        Args:
            notes: comments to stand in the tables of labels.
        """
        lines = ["version = 1", f"roots = {_list(self.roots)}", ""]
        for kind in KINDS:
            for label in self.labels(kind):
                node = self.nodes[label]
                lines.append(f"[{kind}s.{_quote(label)}]")
                lines += [f"# {note}" for note in (notes or {}).get(label, ())]
                for key in ("takes", "required", "repeated"):
                    if value := getattr(node, key):
                        lines.append(f"{key} = {_list(value)}")
                if node.words != _words_by_default(kind, bool(node.takes)):
                    lines.append(f"words = {str(node.words).lower()}")
                if node.least != _LEAST[kind]:
                    lines.append(f"least = {node.least}")
                if node.description:
                    lines.append(f"description = {_quote(node.description)}")
                if node.examples:
                    lines.append(f"examples = [{', '.join(map(_quote, node.examples))}]")
                if node.count:
                    lines.append(f"count = {node.count}")
                if node.counts:
                    pairs = ", ".join(f"{_quote(k)} = {v}" for k, v in sorted(node.counts.items()))
                    lines.append(f"counts = {{ {pairs} }}")
                lines.append("")
        if self.lexicon:
            lines += ["[lexicon]", f"words = {_list(self.lexicon)}", ""]
        return "\n".join(lines)

    def _check(self) -> None:
        for label, node in self.nodes.items():
            for key in ("takes", "required", "repeated"):
                for child in sorted(getattr(node, key)):
                    if child not in self.nodes:
                        near = self.nearest(child)
                        mend = f"; the ontology has `{near}`" if near else "; add a table for it"
                        raise OntologyError(f"`{label}`: `{key}` names the unknown label `{child}`{mend}")
                    if child not in node.takes:
                        raise OntologyError(f"`{label}`: `{key}` names `{child}`, which `takes` lacks; add it there")
        for label in sorted(self.roots):
            if label not in self.nodes:
                raise OntologyError(f"`roots` names the unknown label `{label}`; add a table for it")

    def _filler(self, label: str, before: set[str], lack: int) -> int:
        """Cost of the `lack` cheapest further children."""
        node = self.nodes[label]
        if node.words:
            return lack
        again = min((1 + self._costs[child] for child in node.repeated), default=_IMPOSSIBLE)
        # A child that may stand only once fills one gap at most.
        once = sorted(1 + self._costs[child] for child in node.takes - node.repeated - before)[:lack]
        return sum(sorted([*once, *[again] * lack])[:lack])

    def _completion_costs(self) -> dict[str, int]:
        """Fixpoint: a node costs its RED, what it requires, and fillers up to `least`."""
        self._costs = dict.fromkeys(self.nodes, _IMPOSSIBLE)
        changed = True
        while changed:
            changed = False
            for label in self.nodes:
                cost = min(1 + self.missing_cost(label, (), 0), _IMPOSSIBLE)
                if cost < self._costs[label]:
                    self._costs[label], changed = cost, True
        endless = sorted(label for label, cost in self._costs.items() if cost >= _IMPOSSIBLE)
        if endless:
            raise OntologyError(f"no finite tree has the label `{endless[0]}`: it requires itself or has no children")
        return self._costs

    def _completion_heights(self) -> dict[str, int]:
        heights: dict[str, int] = {}
        # Whatever completes a node is cheaper than the node, so it comes first.
        for label in sorted(self.nodes, key=lambda label: self._costs[label]):
            node = self.nodes[label]
            needed = list(node.required)
            lack = 0 if node.words else max(0, node.least - len(needed))
            once = [(self._costs[c], c) for c in node.takes - node.repeated - node.required]
            again = [min((self._costs[c], c) for c in node.repeated)] * lack if node.repeated else []
            needed += [child for _, child in sorted(once + again)[:lack]]
            heights[label] = 1 + max((heights[child] for child in needed), default=0)
        return heights


def loads(text: str, source: str = "<text>") -> Ontology:
    """Read an ontology from TOML text.

    Raises:
        OntologyError: not TOML, an unknown key or label, a value of the wrong kind, or a label in two tables.
    """
    try:
        data = tomllib.loads(text.removeprefix("\ufeff"))  # Notepad writes a mark of byte order
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise OntologyError(f"{source}: {error}") from error
    known = {"version", "roots", "lexicon", "intents", "functions", "slots"}
    if unknown := sorted(set(data) - known):
        raise OntologyError(f"{source}: unknown key `{unknown[0]}`; the keys are {', '.join(sorted(known))}")
    if "version" in data and (type(data["version"]) is not int or data["version"] != _VERSION):
        raise OntologyError(f"{source}: `version` is {data['version']!r}, and this is read: {_VERSION}")
    roots = _strings(f"{source}:", data, "roots") if "roots" in data else None
    lexicon = _table(f"{source}: [lexicon]", data.get("lexicon", {}))
    if unknown := sorted(set(lexicon) - {"words"}):
        raise OntologyError(f"{source}: [lexicon]: unknown key `{unknown[0]}`; the only key is `words`")
    words = _strings(f"{source}: [lexicon]:", lexicon, "words")
    if unwritable := [word for word in words if not is_writable(word)]:
        raise OntologyError(f"{source}: [lexicon]: no tree can hold the word {unwritable[0]!r}; remove it")
    nodes: dict[str, Node] = {}
    for kind in KINDS:
        for label, table in _table(f"{source}: `{kind}s`", data.get(f"{kind}s", {})).items():
            if label in nodes:
                raise OntologyError(f"{source}: `{label}` is both {nodes[label].kind} and {kind}; rename one")
            nodes[label] = _node(kind, label, table, source)
    try:
        return Ontology(nodes, roots, words)
    except OntologyError as error:
        raise OntologyError(f"{source}: {error}") from error


def joined(ontologies: Mapping[str, Ontology]) -> Ontology:
    """What any of several ontologies allows: for rows of several corpora together.

    Args:
        ontologies: by the names that messages have for them.

    Raises:
        OntologyError: a label is of one kind in one of them and of another elsewhere.
    """
    nodes: dict[str, Node] = {}
    for label in dict.fromkeys(label for ontology in ontologies.values() for label in ontology.nodes):
        (name, first), *others = ((n, ontology.nodes[label]) for n, ontology in ontologies.items() if label in ontology)
        for elsewhere, other in others:
            if other.kind != first.kind:
                raise OntologyError(
                    f"`{label}` is of the kind {first.kind} in {name} and {other.kind} in {elsewhere}; rename one of "
                    "them (convert with --map) or leave one data set out"
                )
            first = replace(
                first,
                takes=first.takes | other.takes,
                required=first.required & other.required,
                repeated=first.repeated | other.repeated,
                words=first.words or other.words,
                least=min(first.least, other.least),
                count=first.count + other.count,
                counts=Counter(first.counts) + Counter(other.counts),
            )
        nodes[label] = first
    roots = {root for ontology in ontologies.values() for root in ontology.roots}
    return Ontology(nodes, roots, {word for ontology in ontologies.values() for word in ontology.lexicon})


def load(path: str | Path) -> Ontology:
    """Read an ontology file; see the module's text for its form."""
    try:
        return loads(Path(path).read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise OntologyError(f"cannot read the ontology {path}: {error}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise OntologyError(f"{path}:{line}: not UTF-8; save it as UTF-8 and try again") from error


def _node(kind: str, label: str, table: object, source: str) -> Node:
    if not is_label(label):
        allowed = "ASCII letters, digits and _ . : / - ! @ # < > = + * ? ' $ %"
        raise OntologyError(f"{source}: [{kind}s]: no tree can hold the label {label!r}; labels are made of {allowed}")
    where = f"{source}: [{kind}s.{label}]"
    table = _table(where, table)
    if unknown := sorted(set(table) - _FIELDS):
        near = difflib.get_close_matches(unknown[0], _FIELDS, 1)
        mend = f"; the nearest key is `{near[0]}`" if near else f"; the keys are {', '.join(sorted(_FIELDS))}"
        raise OntologyError(f"{where}: unknown key `{unknown[0]}`{mend}")
    for key, type_ in _TYPES.items():
        if key in table and type(table[key]) is not type_:  # true is an int, too
            raise OntologyError(f"{where}: `{key}` must be a {type_.__name__}")
    for key in ("least", "count"):
        if table.get(key, 0) < 0:
            raise OntologyError(f"{where}: `{key}` must be 0 or more")
    if not all(type(count) is int for count in table.get("counts", {}).values()):
        raise OntologyError(f"{where}: `counts` must be a table of numbers")
    takes, required, repeated, examples = (
        _strings(f"{where}:", table, key) for key in ("takes", "required", "repeated", "examples")
    )
    return Node(
        kind=kind,
        takes=frozenset(takes),
        required=frozenset(required),
        repeated=frozenset(repeated),
        words=table.get("words", _words_by_default(kind, bool(takes))),
        least=table.get("least", _LEAST[kind]),
        description=table.get("description", ""),
        examples=tuple(examples),
        count=table.get("count", 0),
        counts=table.get("counts", {}),
    )


def _table(where: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise OntologyError(f"{where} must be a table")
    return value


def _strings(where: str, table: Mapping[str, object], key: str) -> list[str]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise OntologyError(f"{where} `{key}` must be a list of strings")
    return value


def _words_by_default(kind: str, takes: bool) -> bool:
    return kind == "slot" and not takes


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # a JSON string is a TOML string


def _list(items: Iterable[str]) -> str:
    return f"[{', '.join(map(_quote, sorted(items)))}]"
