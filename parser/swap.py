"""Other values in the same slots: new utterances from the training rows, other ones every epoch.

    play jazz                (PlayMusicIntent(MediaType(jazz)))      `MediaType` also holds: rock and roll
    play rock and roll       (PlayMusicIntent(MediaType(rock)(and)(roll)))

    how many zoos            (nwr(kv:tourism=zoo))                   `nwr` also holds: kv:leisure=golf_course
    how many golf courses    (nwr(kv:leisure=golf_course))

A value is a node of leaves that copy neighbouring words in their order, or a generated leaf that neighbouring words
name: each part of its name begins like the word. It may be replaced by any other value that the rows hold under the
same label and the same parent, beside the same generated leaves. The parser meets every value in many surroundings
and every surrounding with many values, which is what it needs for values that it has seen once or never.
Data of bounded memory stays bounded: a pool's values come from the pool.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from grammar.actions import GENERATED, Kind

_COLUMNS = ("words", "actions", "symbols", "copy")
_Row = tuple[list[str], list[int], list[str], list[int]]
_ALIKE = 0.6
"""Share of the longer one that a word and a part of a leaf's name must begin with in common."""


class _Value(NamedTuple):
    words: tuple[str, ...]
    leaves: tuple[str, ...]


class _Site(NamedTuple):
    """A value in a row: steps of its leaves, positions of its words, whether leaves copy them, and the kind of slot."""

    step: int
    leaves: int
    position: int
    size: int
    copies: bool
    slot: tuple[str, ...]


class Swap:
    """The rows of a pool with all their values.

    Args:
        table: rows with `columns.ROW_COLUMNS`.
        apart: no value leaves its domain.
    """

    def __init__(self, table: pa.Table, apart: bool = False) -> None:
        self.table = table
        self.rows: list[_Row] = list(zip(*(table[name].to_pylist() for name in _COLUMNS), strict=True))
        domains = table["domain"].to_pylist() if apart else [""] * len(self.rows)
        self.sites = [
            [site._replace(slot=(domain, *site.slot)) for site in _sites(row)]
            for domain, row in zip(domains, self.rows, strict=True)
        ]
        values: dict[tuple[str, ...], dict[_Value, None]] = {}
        for (words, _, symbols, _), sites in zip(self.rows, self.sites, strict=True):
            for site in sites:
                said = tuple(words[site.position : site.position + site.size])
                value = _Value(said, tuple(symbols[site.step : site.step + site.leaves]))
                values.setdefault(site.slot, {})[value] = None
        self.values = {slot: list(distinct) for slot, distinct in values.items()}

    def draw(self, share: float, random: np.random.Generator) -> pa.Table:
        """The rows, `share` of all values replaced; the column `tree` is left as it was, training does not read it.

        Args:
            share: chance of each value, 0 to 1.
            random: decides which, and by what: each distinct value is as likely.
        """
        made = []
        for row, sites in zip(self.rows, self.sites, strict=True):
            chosen = []
            for site in sites:
                if random.random() < share:
                    choices = self.values[site.slot]
                    chosen.append((site, choices[int(random.random() * len(choices))]))
            made.append(_rewritten(row, chosen) if chosen else row)
        drawn = self.table
        for name, column in zip(_COLUMNS, zip(*made, strict=True), strict=True):
            field = drawn.schema.field(name)
            drawn = drawn.set_column(drawn.schema.get_field_index(name), field, pa.array(column, field.type))
        return drawn


def _rewritten(row: _Row, chosen: list[tuple[_Site, _Value]]) -> _Row:
    """The row with other values at some sites, which come by position."""
    words, actions, symbols, copy = list(row[0]), list(row[1]), list(row[2]), row[3]
    more = [(site.position + site.size, len(value.words) - site.size) for site, value in chosen]

    def moved(at: int) -> int:
        return at + sum(longer for end, longer in more if end <= at)

    copy = [moved(at) if at >= 0 else at for at in copy]
    # From the last to the first, so that the places of those still to come stay as they are.
    for site, value in reversed(chosen):
        words[site.position : site.position + site.size] = value.words
    for site, value in sorted(chosen, reverse=True):
        here, start, many = slice(site.step, site.step + site.leaves), moved(site.position), len(value.leaves)
        actions[here] = [int(Kind.TER)] * many
        symbols[here] = value.leaves
        copy[here] = range(start, start + many) if site.copies else [GENERATED] * many
    return words, actions, symbols, copy


def _sites(row: _Row) -> list[_Site]:
    """The values of a row, by position; no two share a word."""
    words, actions, symbols, copy = row
    used = [at for at in copy if at >= 0]
    nodes: list[tuple[int, list[_Site], list[int]]] = [(-1, [], [])]  # open ones: step, values, generated leaves
    sites = []
    for step, kind in enumerate(actions):
        if kind == Kind.NT:
            nodes.append((step, [], []))
        elif kind == Kind.TER:
            if copy[step] < 0:
                nodes[-1][2].append(step)
        else:
            start, values, generated = nodes.pop()
            # What is generated beside a value may go with it: the country beside a city.
            sites += [site._replace(slot=(*site.slot, *(symbols[at] for at in generated))) for site in values]
            for leaf in generated:
                beside = [symbols[at] for at in generated if at != leaf]
                kind_of, position, size = _named(symbols[leaf], words)
                if size and not any(position <= at < position + size for at in used):
                    sites.append(_Site(leaf, 1, position, size, False, ("named", kind_of, symbols[start], *beside)))
            size, position = step - start - 1, copy[start + 1]
            whole = size > 0 and position >= 0 and copy[start + 1 : step] == list(range(position, position + size))
            # A word that something else copies too may not be taken away.
            if whole and sum(position <= at < position + size for at in used) == size:
                above = nodes[-1][0]
                slot = ("copied", symbols[start], symbols[above] if above >= 0 else "")
                nodes[-1][1].append(_Site(start + 1, size, position, size, True, slot))
    sites += nodes[0][1]
    sites.sort(key=lambda site: site.position)
    end, apart = 0, []
    for site in sites:
        if site.position >= end:
            apart.append(site)
            end = site.position + site.size
    return apart


def _named(name: str, words: list[str]) -> tuple[str, int, int]:
    """(kind of a generated leaf, position and number of the words that name it); no words where none do.

    `kv:leisure=golf_course` is of the kind `kv`, and the words `golf courses` name it.
    """
    kind, last = re.split(r"[:=(]", name)[0], re.split(r"[:=]", name)[-1]
    parts = [part for part in re.split(r"[\W_]+", last.lower()) if part]
    for position in range(len(words) - len(parts) + 1) if parts and last != name else ():
        if all(_alike(part, word.lower()) for part, word in zip(parts, words[position:], strict=False)):
            return kind, position, len(parts)
    return kind, 0, 0


def _alike(one: str, other: str) -> bool:
    differ = (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    common = next(differ, min(len(one), len(other)))
    return common > 2 and common >= _ALIKE * max(len(one), len(other))
