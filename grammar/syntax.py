"""Text -> `Tree`, by the grammar in `tree.lark`. The only module that imports lark."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lark import Lark, Token, Transformer, UnexpectedInput

from grammar.recover import over_limit, scan
from grammar.tree import Leaf, Span, Tree, unescape

if TYPE_CHECKING:
    from grammar.finding import Finding

_GRAMMAR = Path(__file__).with_name("tree.lark")


class TreeSyntaxError(ValueError):
    """Text that is no tree. `findings` holds everything that is wrong with it, in order of place."""

    def __init__(self, findings: list[Finding]) -> None:
        first, more = findings[0], len(findings) - 1
        rest = f" (and {more} more)" if more else ""
        super().__init__(f"{first.code} at character {first.span.start}: {first.message}{rest}")
        self.findings = findings


def parse(text: str) -> Tree:
    """Read one tree, with spans in characters of `text`.

    >>> parse("(PlayMusicIntent(Title(Star Wars)))").words()
    ['Star', 'Wars']

    Raises:
        TreeSyntaxError: the text is not a tree, or is over a limit.
    """
    if finding := over_limit(text):
        raise TreeSyntaxError([finding])
    try:
        return lark().parse(text)  # type: ignore[return-value]  # the transformer makes it a `grammar.Tree`
    except UnexpectedInput:
        # Lark stops at the first mistake; the recovering scanner names them all.
        raise TreeSyntaxError(scan(text).findings) from None


@cache
def lark() -> Lark:
    """The loaded grammar. Its parser builds `grammar.Tree`s while it reads, without a tree of its own."""
    return Lark(
        _GRAMMAR.read_text(encoding="utf-8"),
        parser="lalr",
        lexer="basic",
        transformer=_Builder(),
        keep_all_tokens=True,  # the brackets carry the spans
    )


def judge(text: str) -> bool:
    """What the grammar alone says of a text: whether it is a tree. No limits, no tree, no findings."""
    try:
        _plain(False).parse(text)
    except UnexpectedInput:
        return False
    return True


def positions() -> Lark:
    """Lark as it comes, with `propagate_positions`: the measure of this reader's speed."""
    return _plain(True)


@cache
def _plain(propagate: bool) -> Lark:
    grammar = _GRAMMAR.read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", lexer="basic", propagate_positions=propagate)


class _Builder(Transformer):
    """Rules -> trees, called by the parser at each reduction."""

    def node(self, items: list[Any]) -> Tree:
        opening, label, *inner, closing = items
        children: list[Tree | Leaf] = []
        for item in inner:
            if isinstance(item, Tree):
                children.append(item)
            elif isinstance(item, list):
                children += item
            # What remains are the two brackets of an empty child list.
        return Tree(str(label), children, Span(opening.start_pos, closing.end_pos), _span(label))

    def leaf(self, items: list[Any]) -> list[Leaf]:
        return [Leaf(unescape(str(word)), _span(word)) for word in items[1:-1]]


def _span(token: Token) -> Span:
    assert token.start_pos is not None and token.end_pos is not None
    return Span(token.start_pos, token.end_pos)
