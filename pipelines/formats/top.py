r"""TOP and TOPv2: trees in square brackets, intents `IN:` and slots `SL:` in turns, every word a leaf.

    play some jazz!\tplay some jazz !\t[IN:PLAY_MUSIC play some [SL:GENRE jazz ] ! ]               TOP: no header
    music\tplay some jazz!\t[IN:PLAY_MUSIC play some [SL:GENRE jazz ] ! ]                          TOPv2: header
    -> Utterance(words=["play", "some", "jazz", "!"], tree="(IN:PLAY_MUSIC(SL:GENRE(jazz)))", positions=[2])

Lines are cut at tabs and nothing else: a quotation mark is a character. Words are the leaves, the utterance is the
words with blanks between; the raw text stays in `raw`.

Words right under an intent are dropped, and so are words beside an intent inside a slot: their meaning is in the
labels. A slot without words becomes `(SL:GENRE())`. `[IN:COMBINE [SL:COMBINE A ] and [SL:COMBINE B ] ]` becomes
`(and A B)`, and so do several roots on one line. Labels without a prefix are intents and slots in turns. `\[` and
`\]` are brackets of the text. `IN:UNSUPPORTED` rows are kept.

Refused: R101 bytes, R102 no words, R111 leaves and utterance differ, R112 not three columns, R114 brackets do not
match, a word outside all brackets, or `SL:COMBINE` without an intent.
Source: Gupta et al., EMNLP 2018, arXiv 1810.07942; Chen et al., EMNLP 2020, arXiv 2010.03546.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from grammar.tree import Leaf, Tree
from pipelines.formats.lines import Range, Source, decode, numbered, plan_lines, shown
from pipelines.record import Rejection, Utterance

plan = plan_lines

_HEADER = ["domain", "utterance", "semantic_parse"]
_ESCAPE = re.compile(r"\\([\[\]\\])")


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each line that is not blank; the header of TOPv2 is none."""
    source = range_.source
    with open(source.path, "rb") as file:
        second = (decode(file.readline().removeprefix(b"\xef\xbb\xbf")) or "").strip().split("\t") == _HEADER
    for number, line in numbered(range_):
        if line.strip() and not (second and number == 1):
            yield _record(source, number, line, second)


def _record(source: Source, number: int, line: bytes, second: bool) -> Utterance | Rejection:
    raw = decode(line)
    if raw is None:
        return source.reject(number, "R101", shown(line))
    columns = raw.split("\t")
    if len(columns) != 3:
        return source.reject(number, "R112", raw, f"{len(columns)} columns")
    try:
        words, tree, positions = convert(columns[2])
    except ValueError as error:
        return source.reject(number, "R114", raw, str(error))
    if not words:
        return source.reject(number, "R102", raw)
    # TOPv2 gives the raw text alone, in which `it's` is one word and the leaves are `it` and `'s`.
    same = "".join(columns[1].split()) == "".join(words) if second else columns[1].split() == words
    if not same:
        return source.reject(number, "R111", raw)
    return Utterance(
        corpus=source.corpus,
        file=source.file,
        line=number,
        split=source.split,
        text=" ".join(words),
        words=words,
        intents=[],
        spans=[],
        tree=str(tree),
        positions=positions,
        domain=columns[0] if second else "",
        raw=raw,
    )


@dataclass(slots=True)
class _Open:
    label: str
    intent: bool
    words: list[Leaf] = field(default_factory=list)
    trees: list[Tree] = field(default_factory=list)

    def close(self) -> list[Tree]:
        """What this node gives to the one above it."""
        if self.label == "SL:COMBINE":
            if not self.trees:
                raise ValueError("`SL:COMBINE` without an intent")
            return self.trees
        if self.label == "IN:COMBINE":
            return [Tree("and", self.trees)]
        return [Tree(self.label, self.trees if self.trees or self.intent else self.words)]


def convert(text: str) -> tuple[list[str], Tree, list[int]]:
    """All words, the tree without carrier words, and the position of each of its leaves.

    Raises:
        ValueError: the brackets do not match, or a word stands outside them.
    """
    words: list[str] = []
    where: dict[int, int] = {}  # id of a leaf -> position; leaves are equal by their word
    stack: list[_Open] = []
    roots: list[Tree] = []
    for token in text.split():
        if token == "]":
            if not stack:
                raise ValueError("a `]` that closes nothing")
            closed = stack.pop().close()
            (stack[-1].trees if stack else roots).extend(closed)
        elif token.startswith("[") and len(token) > 1:
            label = token[1:]
            marked = label.startswith(("IN:", "SL:"))
            stack.append(_Open(label, label.startswith("IN:") if marked else len(stack) % 2 == 0))
        elif not stack:
            raise ValueError(f"`{token}` stands outside all brackets")
        else:
            leaf = Leaf(_ESCAPE.sub(r"\1", token))
            where[id(leaf)] = len(words)
            words.append(leaf.word)
            stack[-1].words.append(leaf)
    if stack:
        raise ValueError(f"`{stack[-1].label}` is not closed")
    if not roots:
        raise ValueError("no tree")
    tree = roots[0] if len(roots) == 1 else Tree("and", roots)
    return words, tree, [where[id(leaf)] for leaf in tree.leaves()]
