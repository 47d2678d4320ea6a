"""Compound requests from single ones, and several values in one slot. Plain functions; `composing.py` runs them.

    play jazz                 (PlayMusic(genre(jazz)))
    book a table for two      (BookRestaurant(party_size(two)))
    -> play jazz , then book a table for two
       (and(PlayMusic(genre(jazz)))(BookRestaurant(party_size(two))))

    add apples to my list     (AddToListIntent(ItemName(apples)))
    -> add apples and oranges to my list
       (AddToListIntent(add(ItemName(apples))(ItemName(oranges))))

Everything drawn comes from the seed and the id of the row that a request is made from, so that the same row of the same
data set gives the same request, whatever is composed beside it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from grammar import words as tokenisers
from grammar.actions import GENERATED
from grammar.tree import Leaf, Tree
from pipelines.glue import GENERAL, Glue

_MARKS = frozenset(".!?,;:。！？")
_CLOSING = frozenset(".!?,;:")  # stand at the end of a word in written text
_DRAWS = 8
"""Partners drawn before a row is given up: an utterance does not follow itself."""


class Clause(NamedTuple):
    """A request, or a part of one. `positions` has the word that each leaf copies, or -1."""

    words: list[str]
    tree: Tree
    positions: list[int]


class Value(NamedTuple):
    """A slot that holds a run of words `[start, end)` and nothing else; `leaf` is the number of its first leaf."""

    label: str
    start: int
    end: int
    leaf: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How requests are composed.

    Attributes:
        rate: compound requests made of each single one on average; 0.5 makes one of every second row.
        values: chance that a clause gets a second value for one of its slots, and the rate of single requests so made.
        shared: chance that a later clause takes a value of an earlier one, where both have such a slot.
        least, most: clauses of a compound request; each number between is as likely.
        slots: the slots that may get a second value; empty for all.
        seed: another seed gives other requests.
    """

    rate: float = 0.5
    values: float = 0.05
    shared: float = 0.1
    least: int = 2
    most: int = 3
    slots: tuple[str, ...] = ()
    seed: int = 0
    glue: Glue = GENERAL

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError(f"a rate of {self.rate:g} is less than none")
        if not (0 <= self.values <= 1 and 0 <= self.shared <= 1):
            raise ValueError("the shares of coordinated and of shared values are between 0 and 1")
        if not 2 <= self.least <= self.most:
            raise ValueError(f"{self.least} to {self.most} clauses: a compound request has at least 2")


def draws(row_id: str, recipe: Recipe) -> random.Random:
    """The source of chance of one row."""
    return random.Random(f"{recipe.seed}:{row_id}")


def times(rate: float, chance: random.Random) -> int:
    """How often a row is taken at a rate: its whole part, and once more as often as the rest says."""
    return int(rate) + (chance.random() < rate % 1)


def compound(first: Clause, pool: Sequence[Clause], recipe: Recipe, chance: random.Random) -> Clause | None:
    """A request of several clauses that begins with `first`; None where the pool has no other utterance."""
    count = chance.randint(recipe.least, recipe.most)
    parts = [first]
    for _ in range(_DRAWS * count):
        part = chance.choice(pool)
        if all(part.words != other.words for other in parts):
            parts.append(part)
        if len(parts) == count:
            break
    else:
        return None
    for number in range(1, count):
        if chance.random() < recipe.shared:
            parts[number] = share(parts[chance.randrange(number)], parts[number], chance)
    return join(parts, recipe.glue, chance)


def join(parts: Sequence[Clause], glue: Glue, chance: random.Random) -> Clause:
    """Clauses one behind the other, under `and`; a mark at the end of one gives way to what joins it to the next."""
    words: list[str] = []
    positions: list[int] = []

    def fill(pieces: Sequence[str]) -> None:
        if pieces and chance.random() < glue.filled:
            words.extend(chance.choice(pieces).split())

    fill(glue.openers)
    for number, part in enumerate(parts):
        if number:
            words += chance.choice(glue.joins).split()
            fill(glue.fillers)
        last = number == len(parts) - 1
        spoken = part.words if last else part.words[: _without_mark(part)]
        if words and spoken and 0 not in part.positions and spoken[0].istitle() and spoken[0] != "I":
            spoken = [spoken[0].lower(), *spoken[1:]]
        positions += [place if place == GENERATED else place + len(words) for place in part.positions]
        words += spoken
    if words[-1] not in _MARKS:
        fill(glue.closers)
    return Clause(words, Tree("and", [part.tree for part in parts]), positions)


def share(earlier: Clause, later: Clause, chance: random.Random) -> Clause:
    """The later clause with a value of the earlier one, in a slot that both have; itself where they have none."""
    given = {value.label: value for value in values(earlier)}
    open_ = [value for value in values(later) if value.label in given]
    if not open_:
        return later
    value = chance.choice(open_)
    source = given[value.label]
    return put(later, value, earlier.words[source.start : source.end])


def coordinate(
    clause: Clause, known: Mapping[str, Sequence[Sequence[str]]], recipe: Recipe, chance: random.Random
) -> Clause | None:
    """The clause with a second value in one slot, under `add`; None where no slot can take one.

    Args:
        known: slot -> values that were seen in it, as words.
    """
    open_ = [value for value in values(clause) if not recipe.slots or value.label in recipe.slots]
    if not open_:
        return None
    value = chance.choice(open_)
    here = [word.lower() for word in clause.words[value.start : value.end]]
    for _ in range(_DRAWS):
        other = chance.choice(known.get(value.label, [here]))
        if [word.lower() for word in other] != here:
            return put(clause, value, other, chance.choice(recipe.glue.values).split())
    return None


def values(clause: Clause) -> list[Value]:
    """The slots of a clause whose words can be changed: a run of words of the utterance that no other leaf copies."""
    found = []
    nodes = zip(clause.tree.walk(), clause.tree.constituents(), strict=True)
    coordinated: set[int] = set()
    for node, (label, leaves) in nodes:
        if node.label == "add":
            coordinated.update(id(child) for child in node.children)
        if node is clause.tree or not leaves or id(node) in coordinated:
            continue
        if not all(isinstance(child, Leaf) for child in node.children):
            continue
        start = clause.positions[leaves[0]]
        end = start + len(leaves)
        inside = [place for place in clause.positions if start <= place < end]
        if start != GENERATED and inside == list(range(start, end)):
            found.append(Value(label, start, end, leaves[0]))
    return found


def put(clause: Clause, value: Value, new: Sequence[str], behind: Sequence[str] = ()) -> Clause:
    """The clause with other words in a slot; with `behind`, with a second value that `behind` joins to the first.

    >>> one = Clause(["play", "jazz", "now"], Tree("PlayMusic", [Tree("genre", [Leaf("jazz")])]), [1])
    >>> two = put(one, values(one)[0], ["free", "funk"], ["and"])
    >>> " ".join(two.words), str(two.tree), two.positions
    ('play jazz and free funk now', '(PlayMusic(add(genre(jazz))(genre(free)(funk))))', [1, 3, 4])
    """
    size = value.end - value.start
    kept = size if behind else 0
    at = value.start + kept + len(behind)
    words = [*clause.words[: value.start + kept], *behind, *new, *clause.words[value.end :]]
    moved = len(words) - len(clause.words)
    places = [place + moved if place >= value.end else place for place in clause.positions]
    places[value.leaf + kept : value.leaf + size] = range(at, at + len(new))
    node = Tree(value.label, [Leaf(word) for word in new])
    tree = _replace(clause.tree, value.leaf, lambda old: Tree("add", [old, node]) if behind else node)
    return Clause(words, tree, places)


def text_of(words: Sequence[str], tokeniser: str) -> str:
    """The words as an utterance that the tokeniser cuts into them again, where there is one that reads better."""
    joined = " ".join(words)
    if tokeniser == "given":
        return joined
    if tokeniser == "chars-1":
        return "".join(words)
    close = joined
    for mark in _CLOSING:
        close = close.replace(f" {mark} ", f"{mark} ")
    if close[-1:] in _CLOSING and close[-2:-1] == " ":
        close = close[:-2] + close[-1]
    return close if tokenisers.words(close, tokeniser) == list(words) else joined


def _without_mark(part: Clause) -> int:
    """Words of a clause without the marks at its end, unless a leaf copies one."""
    end = len(part.words)
    while end > 1 and part.words[end - 1] in _MARKS and end - 1 not in part.positions:
        end -= 1
    return end


def _replace(tree: Tree, leaf: int, change: Callable[[Tree], Tree]) -> Tree:
    """The tree with the lowest node over leaf number `leaf` changed. No recursion: trees may be deep."""
    path: list[tuple[Tree, int]] = []
    node, before = tree, 0
    while True:
        number, child, before = _towards(node, leaf, before)
        if isinstance(child, Leaf):
            break
        path.append((node, number))
        node = child
    made = change(node)
    for parent, number in reversed(path):
        made = Tree(parent.label, [*parent.children[:number], made, *parent.children[number + 1 :]])
    return made


def _towards(node: Tree, leaf: int, before: int) -> tuple[int, Tree | Leaf, int]:
    """The child over a leaf, its number, and how many leaves stand before it."""
    for number, child in enumerate(node.children):
        size = 1 if isinstance(child, Leaf) else len(child.words())
        if leaf < before + size:
            return number, child, before
        before += size
    raise IndexError(f"leaf {leaf} of {before}")
