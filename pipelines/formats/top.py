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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from grammar.tree import Leaf, Tree
from pipelines.faults import bracket_faults, faults
from pipelines.formats.features import Unwritable, clauses_of, has_blank, plain, text_and_places, tree_of
from pipelines.formats.format import Format, Writer
from pipelines.formats.head import Guess, Head
from pipelines.formats.lines import Range, Source, decode, numbered, open_file, plan_lines, shown
from pipelines.formats.save import save_lines
from pipelines.record import Example, Rejection, Utterance

plan = plan_lines

_HEADER = ["domain", "utterance", "semantic_parse"]
_SPECIAL = re.compile(r"[\[\]\\]")
_TREE = re.compile(r"\[\S+( .*)?\]\s*$")
_ESCAPE = re.compile(r"\\([\[\]\\])")


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each line that is not blank; the header of TOPv2 is none."""
    source = range_.source
    with open_file(source.path) as file:
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
        return source.reject(number, "R114", raw, str(error), findings=bracket_faults(columns[2], "[", "]"))
    if not words:
        return source.reject(number, "R102", raw)
    # TOPv2 gives the raw text alone, in which `it's` is one word and the leaves are `it` and `'s`.
    same = "".join(columns[1].split()) == "".join(words) if second else columns[1].split() == words
    if not same:
        return source.reject(number, "R111", raw, findings=faults(str(tree), columns[1].split()))
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
        made=tree,
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


def record(row: Example, variant: str) -> str:
    """A line of TOP, or with `variant` `topv2` of TOPv2."""
    text = bracketed(row)
    if variant == "topv2":
        if "\t" in row.domain or row.domain != row.domain.strip():
            raise Unwritable("domain", repr(row.domain))
        return f"{row.domain}\t{text_and_places(row)[0]}\t{text}"
    return f"{text_and_places(row)[0]}\t{' '.join(row.words)}\t{text}"


def bracketed(row: Example, carriers: bool = True) -> str:
    """The tree in square brackets, with the words that it leaves out, or decoupled from them.

    Raises:
        Unwritable: intents and slots do not take turns, or what `read` would make of the text is another tree.
    """
    tree, positions = tree_of(row)
    tree = plain(tree)
    if any(map(has_blank, row.words)):
        raise Unwritable("blanks in words")
    if any(copy < 0 for copy in positions):
        raise Unwritable("generated words")
    if positions != sorted(set(positions)):
        raise Unwritable("scattered slots")
    text = carried(combined(tree), positions, row.words, "[", "]", _escape, carriers)
    try:
        words, again, places = convert(text)
    except ValueError as error:
        raise Unwritable(_blame(tree), str(error)) from error
    if str(again) != str(tree) or (carriers and (words, places) != (row.words, positions)):
        raise Unwritable(_blame(tree))
    return text


def carried(
    tree: Tree,
    positions: Sequence[int],
    words: Sequence[str],
    opens: str,
    closes: str,
    escape: Callable[[str], str],
    carriers: bool = True,
) -> str:
    """A tree in other brackets, with a blank between all, and each word that it leaves out in the node around it."""
    pieces: list[str] = []
    stack: list[Tree | Leaf | str] = [tree]
    copies = iter(positions)
    ahead = _ends(tree, positions)
    at = 0

    def words_until(end: int) -> None:
        nonlocal at
        if carriers:
            pieces.extend(map(escape, words[at:end]))
            at = max(at, end)

    while stack:
        item = stack.pop()
        if isinstance(item, str):
            pieces.append(item)
        elif isinstance(item, Leaf):
            words_until(next(copies))
            pieces.append(escape(item.word))
            at += 1
        else:
            start, end = ahead[id(item)]
            if item is not tree and start < end:
                words_until(start)
            pieces.append(f"{opens}{item.label}")
            stack.append(closes)
            stack.extend(reversed(item.children))
    closing = pieces.pop()
    words_until(len(words))
    return " ".join([*pieces, closing])


def combined(tree: Tree) -> Tree:
    """`and` as TOP writes it: `IN:COMBINE` over one `SL:COMBINE` for each part."""
    done: dict[int, Tree] = {}
    for node in reversed(list(tree.walk())):
        children = [child if isinstance(child, Leaf) else done.pop(id(child)) for child in node.children]
        if node.label == "and" and children:
            done[id(node)] = Tree("IN:COMBINE", [Tree("SL:COMBINE", [child]) for child in children])
        else:
            done[id(node)] = Tree(node.label, children)
    return done[id(tree)]


def _ends(tree: Tree, positions: Sequence[int]) -> dict[int, tuple[int, int]]:
    """For each node the words `[start, end)` from its first leaf to its last."""
    nodes = zip(tree.walk(), tree.constituents(), strict=True)
    return {
        id(node): (positions[leaves[0]], positions[leaves[-1]] + 1) if leaves else (0, 0) for node, (_, leaves) in nodes
    }


def _escape(word: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", word)


def _blame(tree: Tree) -> str:
    """Why the brackets of TOP cannot say a tree: the feature that is most likely the cause."""
    if any(re.search(r"[\[\]]", node.label) for node in tree.walk()):
        return "odd labels"
    for node in tree.walk():
        under = [isinstance(child, Tree) for child in node.children]
        if not all(under) and (any(node is part for part in clauses_of(tree)) or node.label.startswith("IN:")):
            return "words of intents"
        if any(under) and not all(under):
            return "mixed slots"
        if node.label in ("and", "add") and node is not tree:
            return "functions"
    if tree.label in ("and", "add"):
        return "functions"
    return "nested slots" if tree.depth() > 2 else "scattered slots"


def _looks(head: Head) -> bool:
    """Whether most lines have three columns, the last of which is a tree in square brackets."""
    rows = [line.split("\t") for line in head.lines[:20]]
    rows = rows[1:] if rows and rows[0] == _HEADER else rows
    trees = [row for row in rows if len(row) == 3 and _TREE.match(row[2])]
    return len(trees) * 2 > len(rows)


def recognise(head: Head) -> Guess | None:
    """Three columns, of which the last is a tree in square brackets, and no header."""
    if head.lines and head.lines[0].split("\t") != _HEADER and _looks(head):
        return Guess(2, "three columns without a header, the last a tree in square brackets")
    return None


def recognise_v2(head: Head) -> Guess | None:
    """The header of TOPv2."""
    if head.lines and head.lines[0].split("\t") == _HEADER:
        return Guess(3, "the header `domain`, `utterance`, `semantic_parse`")
    return None


LOSES = {
    "locale": "not written",
    "raw text": "the utterance is read as its words with one blank between",
    "other text": "the words are written, with one blank between them",
    "blanks in words": "refused: words stand between blanks",
    "nested slots": "refused where intents and slots do not take turns; labels without `IN:`, `SL:` go by depth",
    "mixed slots": "refused: words beside a slot or an intent are not in the tree",
    "coordinated values": "written side by side; `--coordinate` finds those with a joining word between",
    "functions": "refused, `and` over intents apart",
    "generated words": "refused: every leaf is a word of the utterance",
    "scattered slots": "refused",
    "words of intents": "refused: words of intents are not in the tree",
}

FORMAT = Format(
    name="top",
    summary="trees in square brackets in a TSV of three columns: TOP",
    patterns=("*.tsv",),
    plan=plan,
    read=read,
    example="play jazz!<TAB>play jazz !<TAB>[IN:PLAY play [SL:GENRE jazz ] ! ]",
    recognise=recognise,
    writer=Writer(record, save_lines(".tsv")),
    loses=LOSES | {"domain": "not written"},
)

FORMAT_V2 = Format(
    name="topv2",
    summary="trees in square brackets in a TSV with a header and domains: TOPv2",
    patterns=("*.tsv",),
    plan=plan,
    read=read,
    example="music<TAB>play jazz!<TAB>[IN:PLAY play [SL:GENRE jazz ] ! ]",
    recognise=recognise_v2,
    writer=Writer(lambda row, variant: record(row, "topv2"), save_lines(".tsv", "\t".join(_HEADER) + "\n")),
    loses=LOSES,
    alone=lambda raw: "\t".join(_HEADER) + f"\n{raw}",
)
