"""`--map FILE.toml`: intents and slots renamed, merged or dropped on their way into a data set.

    [intents]
    PlayMusic = "PlayMusicIntent"      # renamed
    PlayRadio = "PlayMusicIntent"      # two with one new name are merged
    RateBook = false                   # dropped: its rows become dead letters, R210

    [slots]
    music_item = "MediaType"
    playlist_owner = false             # dropped: its words are carrier words now

Names are the corpus's own. What is not named stays as it is.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field

from grammar.tree import Leaf, Tree
from pipelines.flat import is_label
from pipelines.record import Rejection, Utterance

Names = Mapping[str, str]
"""Old name -> new name, empty for one that is dropped."""


@dataclass(slots=True)
class Map:
    """New names; `seen` collects the old ones that rows had."""

    intents: Names = field(default_factory=dict)
    slots: Names = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    @property
    def names(self) -> set[str]:
        """All names that it knows."""
        return {*self.intents, *self.slots}


def loads(text: str, source: str) -> Map:
    """Read a map.

    Raises:
        ValueError: not TOML, an unknown table, a name that is no label, or one new name for an intent and a slot.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{source}: not TOML: {error}") from error
    tables: dict[str, dict[str, str]] = {"intents": {}, "slots": {}}
    for table, entries in data.items():
        if table not in tables or not isinstance(entries, dict):
            raise ValueError(f"{source}: unknown table `{table}`; a map has [intents] and [slots]")
        for old, new in entries.items():
            if new is not False and not (isinstance(new, str) and is_label(new)):
                raise ValueError(f"{source}: `{old}` in [{table}] needs a label as its new name, or false to drop it")
            tables[table][old] = new or ""
    both = {*filter(None, tables["intents"].values())} & {*filter(None, tables["slots"].values())}
    if both:
        raise ValueError(f"{source}: `{min(both)}` is the new name of an intent and of a slot")
    return Map(tables["intents"], tables["slots"])


def relabel(row: Utterance, map_: Map) -> Utterance | Rejection:
    """The row under its new names; R210 if its intent is dropped, or a label over a whole tree."""
    if row.tree:
        return _tree(row, map_)
    map_.seen.update(map_.intents.keys() & row.intents)
    map_.seen.update(map_.slots.keys() & {span.label for span in row.spans})
    intents = [map_.intents.get(intent, intent) for intent in row.intents]
    if not all(intents):
        dropped = next(old for old, new in zip(row.intents, intents, strict=True) if not new)
        return row.reject("R210", f"`{dropped}`")
    spans = [span._replace(label=map_.slots.get(span.label, span.label)) for span in row.spans]
    return row._replace(intents=intents, spans=[span for span in spans if span.label])


def _tree(row: Utterance, map_: Map) -> Utterance | Rejection:
    from pipelines.trees import TreeError, read_tree

    try:
        tree = row.made or read_tree(row.tree)
    except TreeError as error:
        return row.reject(error.code, str(error), error.findings)
    names = {**map_.slots, **map_.intents}
    numbers = iter(row.positions or ())
    kept: list[int] = []
    done: dict[int, Tree | None] = {}
    dropped: set[int] = set()
    for node in tree.walk():
        map_.seen.update(map_.names & {node.label})
        if node.label in map_.intents and not map_.intents[node.label]:
            return row.reject("R210", f"`{node.label}`")
        if names.get(node.label, node.label) == "" or id(node) in dropped:
            dropped.add(id(node))
            dropped.update(id(child) for child in node.children if isinstance(child, Tree))
    if id(tree) in dropped:
        return row.reject("R210", f"`{tree.label}`")
    nodes = list(tree.walk())
    for node in reversed(nodes):
        if id(node) in dropped:
            done[id(node)] = None
            continue
        children = [child if isinstance(child, Leaf) else done[id(child)] for child in node.children]
        done[id(node)] = Tree(names.get(node.label, node.label), [child for child in children if child is not None])
    if row.positions is not None:
        stack: list[tuple[Tree | Leaf, bool]] = [(tree, True)]
        while stack:
            item, keep = stack.pop()
            if isinstance(item, Leaf):
                number = next(numbers, -1)
                kept += [number] * keep
            else:
                keep = keep and id(item) not in dropped
                stack.extend((child, keep) for child in reversed(item.children))
    made = done[id(tree)]
    return row._replace(tree=str(made), made=made, positions=None if row.positions is None else kept)
