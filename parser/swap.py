"""Other values in the same slots: new utterances from the training rows, other ones every epoch.

    play jazz        (PlayMusicIntent(MediaType(jazz)))                `MediaType` also holds: rock and roll
    play rock and roll   (PlayMusicIntent(MediaType(rock)(and)(roll)))

A value is a node of leaves that copy neighbouring words in their order. It may be replaced by any other value that the
rows hold under the same label and the same parent, beside the same generated leaves. The parser meets every value in
many surroundings and every surrounding with many values, which is what it needs for values it has never seen. Data of
bounded memory stays bounded: a pool's values come from the pool.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from grammar.actions import Kind

_COLUMNS = ("words", "actions", "symbols", "copy")
_Row = tuple[list[str], list[int], list[str], list[int]]
Words = tuple[str, ...]


class _Site(NamedTuple):
    """A value in a row: its first leaf's step, its first word's position, how many leaves, and its kind of slot."""

    step: int
    position: int
    size: int
    slot: tuple[str, ...]


class Swap:
    """The rows of a pool with all their values.

    Args:
        table: rows with `columns.ROW_COLUMNS`.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.rows: list[_Row] = list(zip(*(table[name].to_pylist() for name in _COLUMNS), strict=True))
        self.sites = [_sites(actions, symbols, copy) for _, actions, symbols, copy in self.rows]
        values: dict[tuple[str, ...], dict[Words, None]] = {}
        for (words, *_), sites in zip(self.rows, self.sites, strict=True):
            for site in sites:
                value = tuple(words[site.position : site.position + site.size])
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


def _rewritten(row: _Row, chosen: list[tuple[_Site, Words]]) -> _Row:
    """The row with other values at some sites, which come by position."""
    words, actions, symbols, copy = list(row[0]), list(row[1]), list(row[2]), row[3]
    more = [(site.position + site.size, len(value) - site.size) for site, value in chosen]

    def moved(at: int) -> int:
        return at + sum(longer for end, longer in more if end <= at)

    copy = [moved(at) if at >= 0 else at for at in copy]
    # From the last to the first, so that the places of those still to come stay as they are.
    for site, value in reversed(chosen):
        words[site.position : site.position + site.size] = value
    for site, value in sorted(chosen, reverse=True):
        here, start = slice(site.step, site.step + site.size), moved(site.position)
        actions[here] = [int(Kind.TER)] * len(value)
        symbols[here] = value
        copy[here] = range(start, start + len(value))
    return words, actions, symbols, copy


def _sites(actions: list[int], symbols: list[str], copy: list[int]) -> list[_Site]:
    """The values of a row, by position."""
    used = [at for at in copy if at >= 0]
    nodes: list[tuple[int, list[_Site], list[str]]] = [(-1, [], [])]  # open ones: step, values, generated leaves
    sites = []
    for step, kind in enumerate(actions):
        if kind == Kind.NT:
            nodes.append((step, [], []))
        elif kind == Kind.TER:
            if copy[step] < 0:
                nodes[-1][2].append(symbols[step])
        else:
            start, values, beside = nodes.pop()
            # What is generated beside a value may go with it: the country beside a city.
            sites += [site._replace(slot=(*site.slot, *beside)) for site in values]
            size, position = step - start - 1, copy[start + 1]
            whole = size > 0 and position >= 0 and copy[start + 1 : step] == list(range(position, position + size))
            # A word that something else copies too may not be taken away.
            if whole and sum(position <= at < position + size for at in used) == size:
                above = nodes[-1][0]
                slot = (symbols[start], symbols[above] if above >= 0 else "")
                nodes[-1][1].append(_Site(start + 1, position, size, slot))
    sites += nodes[0][1]
    return sorted(sites, key=lambda site: site.position)
