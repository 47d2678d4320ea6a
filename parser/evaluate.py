"""A model against one split of a data set."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any, Protocol

import torch

from grammar.actions import GENERATED, Action, Kind, build
from grammar.ontology import Ontology
from grammar.shard import ShardError
from grammar.tree import Leaf, Tree
from parser.decode import Parse, Search
from parser.domains import of_domain
from parser.memory import streams, uncollected
from parser.metrics import Score, slices_of
from parser.model import Model
from parser.quick import Quick
from parser.vocab import UNK, Vocab


@dataclass(slots=True)
class Gold:
    """One row of a shard as a tree."""

    id: str
    words: list[str]
    tree: Tree
    positions: list[int]
    domain: str = ""


def gold_of(row: dict[str, Any]) -> Gold:
    """The tree that a row's actions build: training machines need no bracket reader."""
    actions = [
        Action(Kind(kind), symbol, copy)
        for kind, symbol, copy in zip(row["actions"], row["symbols"], row["copy"], strict=True)
    ]
    positions = [action.copy for action in actions if action.kind is Kind.TER]
    return Gold(row["id"], row["words"], build(actions), positions, row.get("domain", ""))


def template_of(gold: Gold) -> str:
    """The utterance in lower case with `{label}` of the slot in place of its values: `play {genre}`.

    Requests of one template differ in their values alone. A value is a run of words that the tree copies, or words that
    a generated leaf spells out: `kobe bryant` for `en.player.kobe_bryant`, `3` for `number_3_assist`. Of a leaf in
    parts the last one counts, so that `kv:is_in:country=France` hides no `is` and no `in`. Where all values are copied
    this is what `pipelines` takes for a template.
    """
    labels = _labels_of_leaves(gold.tree)
    copied: dict[int, str] = {}
    spelt: dict[str, str] = {}
    for leaf, position, label in zip(gold.tree.words(), gold.positions, labels, strict=True):
        if position != GENERATED:
            copied[position] = label
            continue
        for part in _PARTS.findall(re.split("[.:=]", leaf.casefold())[-1]):
            spelt.setdefault(part, label)
    shown: list[str] = []
    before: str | None = None
    for place, spoken in enumerate(gold.words):
        word = spoken.casefold()
        slot = copied.get(place, spelt.get(word))
        if slot is None:
            shown.append(word)
        elif slot != before:
            shown.append(f"{{{slot}}}")
        before = slot
    return " ".join(shown)


_PARTS = re.compile(r"[^\W_]+")


def _labels_of_leaves(tree: Tree) -> list[str]:
    """The label of the node that holds each leaf, in the order of `Tree.words`."""
    found: list[str] = []
    for child in tree.children:
        found += [tree.label] if isinstance(child, Leaf) else _labels_of_leaves(child)
    return found


LENGTHS = ((5, "1 to 5"), (10, "6 to 10"), (20, "11 to 20"), (10**9, "over 20"))


def searcher(model: Model, vocab: Vocab) -> Search | Quick:
    """What parses soonest where the model is; make it anew when its weights have changed."""
    search = Search(model, vocab)
    quick = search.folded.bias_F.device.type == "cpu" and model.encoder.pretrained is None
    return Quick(search) if quick else search


class Searching(Protocol):
    """What `parse_all` asks of a search."""

    def parse(self, utterances: Sequence[list[str]], beam: int = 1) -> list[Parse]:
        """The best trees of utterances none of which is empty."""


class Parsing(Protocol):
    """What `evaluate` asks of a parser."""

    def parse(
        self, utterances: Sequence[list[str]], domains: Sequence[str], batch_size: int = 128, beam: int = 1
    ) -> list[Parse]:
        """The parses of utterances of some domains, in the given order."""


class Searchers:
    """A search for each domain of a model, made when first asked for; one for all where it is given no domain."""

    def __init__(self, model: Model, vocab: Vocab) -> None:
        self.model, self.vocab = model, vocab
        self._made: dict[str, Search | Quick] = {}

    def of(self, domain: str) -> Search | Quick:
        """The search that parses utterances of a domain; raises KeyError for one that the model does not know."""
        key = domain if self.vocab.domains else ""
        if key not in self._made:
            self._made[key] = searcher(of_domain(self.model, self.vocab, domain), self.vocab)
        return self._made[key]

    def parse(
        self, utterances: Sequence[list[str]], domains: Sequence[str], batch_size: int = 128, beam: int = 1
    ) -> list[Parse]:
        """Parse utterances of many domains, each domain in batches; the result is in the given order."""
        parses: list[Parse | None] = [None] * len(utterances)
        groups: dict[str, list[int]] = {}
        for i, domain in enumerate(domains):
            groups.setdefault(domain if self.vocab.domains else "", []).append(i)
        for domain, index in groups.items():
            found = parse_all(self.of(domain), [utterances[i] for i in index], batch_size, beam=beam)
            for i, parse in zip(index, found, strict=True):
                parses[i] = parse
        return [parse for parse in parses if parse is not None]


def parse_all(
    search: Searching,
    utterances: Sequence[list[str]],
    batch_size: int = 128,
    beam: int = 1,
) -> list[Parse]:
    """Parse many utterances in batches of similar length; the result is in the given order."""
    order = sorted(range(len(utterances)), key=lambda i: len(utterances[i]))
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    parses: list[Parse | None] = [None] * len(utterances)
    with uncollected():
        found = _in_turn(search, [[utterances[i] for i in index] for index in batches], beam)
        for index, some in zip(batches, found, strict=True):
            for i, parse in zip(index, some, strict=True):
                parses[i] = parse
    return [parse for parse in parses if parse is not None]


def _in_turn(search: Searching, batches: Sequence[Sequence[list[str]]], beam: int) -> Iterator[list[Parse]]:
    """The parses of batch after batch; on a GPU by two threads: one makes trees while those of the other grow."""
    device = search.folded.bias_F.device if isinstance(search, Search) else torch.device("cpu")
    if device.type == "cpu" or len(batches) < 2:
        yield from (search.parse(batch, beam) for batch in batches)
        return

    waiting = iter(streams(device)[1:])

    def settle() -> None:
        torch.cuda.set_device(device)
        torch.cuda.set_stream(next(waiting))

    torch.cuda.synchronize(device)
    with ThreadPoolExecutor(2, "search", settle) as pool:
        yield from pool.map(lambda batch: search.parse(batch, beam), batches)


def evaluate(
    model: Model,
    vocab: Vocab,
    ontology: Ontology,
    values: set[tuple[str, str]],
    rows: Iterable[dict[str, Any]],
    *,
    rejected: int = 0,
    without: str = "",
    batch_size: int = 128,
    errors: list[tuple[Gold, Parse]] | None = None,
    pairs: list[tuple[Gold, Parse]] | None = None,
    beam: int = 1,
    search: Parsing | None = None,
    templates: Container[str] | None = None,
) -> dict[str, Any]:
    """The figures of one split.

    `unknown_labels` are the labels of these rows that the model does not know, by how many rows have them, and
    `rows_unknown` how many rows have any: none of those can be right.

    Args:
        model, vocab, ontology, values: of the model directory.
        rows: of the split.
        rejected: rows of the split that conversion rejected; they count as wrong.
        without: leave out rows with a label that matches this pattern, as in `IN:UNSUPPORTED*`.
        batch_size: utterances parsed together.
        errors: gets every wrong parse.
        pairs: gets every parse.
        beam: how many trees grow at once.
        search: what parses, if not the model alone.
        templates: `template_of` the training rows, for the slice *unseen template*.

    Raises:
        ShardError: `without` leaves no row, or the model is given the domain and does not know that of a row.
    """
    known, unknown, rows_unknown = frozenset(vocab.labels), Counter[str](), 0
    learned = len(vocab.embedded)  # a word that has a vector only was not met in training
    search, score = search or Searchers(model.eval(), vocab), Score()
    seconds, done = 0.0, 0
    for block in _blocks(rows):
        golds = [gold_of(row) for row in block]
        keys = [template_of(gold) for gold in golds] if templates is not None else []
        if not model.config.copy:
            # Every leaf is generated, so brackets are compared by words on both sides.
            for gold in golds:
                gold.positions = [GENERATED] * len(gold.positions)
        labels = [{node.label for node in gold.tree.walk()} for gold in golds]
        if without:
            keep = [i for i, own in enumerate(labels) if not any(fnmatchcase(label, without) for label in own)]
            golds, labels = [golds[i] for i in keep], [labels[i] for i in keep]
            keys = [keys[i] for i in keep] if keys else []
        for own in labels:
            unknown.update(own - known)
            rows_unknown += not own <= known
        check_domains(vocab, golds)
        started = time.process_time()
        parses = search.parse([gold.words for gold in golds], [gold.domain for gold in golds], batch_size, beam)
        seconds, done = seconds + time.process_time() - started, done + len(golds)
        for number, (gold, parse) in enumerate(zip(golds, parses, strict=True)):
            slices = slices_of(gold.tree, values, ontology)
            slices += [f"domain {gold.domain}"] if gold.domain else []
            met = all(UNK < vocab.word(word) < learned for word in gold.words)
            slices.append("all words known" if met else "unknown word")
            slices.append(f"words {next(name for most, name in LENGTHS if len(gold.words) <= most)}")
            if templates is not None:
                slices.append("known template" if keys[number] in templates else "unseen template")
            right = score.add(gold.tree, gold.positions, parse.tree, parse.positions, ontology, slices)
            if errors is not None and not right:
                errors.append((gold, parse))
            if pairs is not None:
                pairs.append((gold, parse))
    if without and not done:
        raise ShardError(f"no row is left: each has a label like `{without}`; leave out fewer")
    score.add_rejected(rejected)
    return score.to_dict() | {
        "utterances_per_cpu_second": done / max(seconds, 1e-9),
        "rows_unknown": rows_unknown,
        "unknown_labels": dict(unknown.most_common()),
    }


def check_domains(vocab: Vocab, golds: Iterable[Gold]) -> None:
    """See that a model that is given the domain knows those of some rows.

    Raises:
        ShardError: it does not.
    """
    if vocab.domains and (foreign := sorted({gold.domain for gold in golds} - set(vocab.domains))):
        raise ShardError(
            f"rows have the domain {', '.join(name or '(none)' for name in foreign)}, which the model does not know; "
            f"it knows {', '.join(vocab.domains)}: give a data set of these"
        )


def _blocks(rows: Iterable[dict[str, Any]], size: int = 8192) -> Iterator[list[dict[str, Any]]]:
    rest = iter(rows)
    while block := list(islice(rest, size)):
        yield block
