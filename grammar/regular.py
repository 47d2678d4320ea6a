r"""The grammar as one regular expression, unrolled to a depth; derived from Lark's rules, never written down.

The rules are put into each other. A rule that begins with itself (what Lark makes of `+` and `*`) becomes a loop;
any other recursion costs one level, and below level zero the alternative is dropped. So the expression says yes to
trees of at most `depth` levels, and to nothing that Lark refuses: unrolling can only lose trees. Its size grows with
the depth, not with a power of it, because every loop stands in the text once.

The result needs neither look-around nor back-references, so an automaton engine (RE2, in pyarrow) runs it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

_SAMPLES = 4
"""Characters tried when it is asked whether two terminals need white space between them."""


class NotRegular(ValueError):
    """A grammar that this derivation does not cover; the message says why."""


def pattern(lark: Any, depth: int) -> str:
    """An anchored regular expression for the trees of at most `depth` levels, free white space around them included.

    Args:
        lark: a loaded `lark.Lark` whose lexer does not depend on the parser (`lexer="basic"`).
        depth: levels of recursion.

    Raises:
        NotRegular: a terminal looks around, or a rule is recursive in a way that no loop can stand for.
    """
    return _Unroller(lark).pattern(depth)


class _Unroller:
    def __init__(self, lark: Any) -> None:
        self.lark = lark
        self.terminals = {terminal.name: terminal.pattern.to_regexp() for terminal in lark.terminals}
        for name, text in self.terminals.items():
            if any(look in text for look in ("(?=", "(?!", "(?<")):
                raise NotRegular(f"the terminal {name} looks around, which an automaton cannot")
        self.rules: dict[str, list[tuple[str, ...]]] = {}
        for rule in lark.rules:
            self.rules.setdefault(rule.origin.name, []).append(tuple(symbol.name for symbol in rule.expansion))
        ignored = "|".join(f"(?:{self.terminals[name]})" for name in lark.ignore_tokens)
        self.free = f"(?:{ignored})*" if ignored else ""
        self.apart = f"(?:{ignored})+" if ignored else ""
        self.ends = {name: (self._ends(name, 0), self._ends(name, -1)) for name in [*self.rules, *self.terminals]}
        self._glued = cache(self._probe)

    def pattern(self, depth: int) -> str:
        body = self._expand(self.lark.options.start[0], depth, frozenset())
        if body is None:
            raise NotRegular(f"no tree has {depth} levels or fewer")
        return f"^{self.free}{body}{self.free}$"

    def _expand(self, symbol: str, depth: int, above: frozenset[str]) -> str | None:
        """The expression of a symbol; None where no level is left for it."""
        if symbol in self.terminals:
            return f"(?:{self.terminals[symbol]})"
        if symbol in above:
            depth, above = depth - 1, frozenset()
        if depth <= 0:
            return None
        above |= {symbol}
        first = [rule for rule in self.rules[symbol] if rule[0] != symbol]
        again = [rule[1:] for rule in self.rules[symbol] if rule[0] == symbol]
        once = self._either(first, depth, above)
        if not again or once is None:
            return once
        between = self._between(symbol, {rule[0] for rule in again})
        if set(again) == set(first) and between == self.free:
            return f"(?:{once}{between})+"
        more = self._either(again, depth, above)
        return once if more is None else f"{once}(?:{between}{more})*"

    def _either(self, rules: list[tuple[str, ...]], depth: int, above: frozenset[str]) -> str | None:
        written = [text for rule in rules if (text := self._sequence(rule, depth, above)) is not None]
        return f"(?:{'|'.join(dict.fromkeys(written))})" if written else None

    def _sequence(self, rule: tuple[str, ...], depth: int, above: frozenset[str]) -> str | None:
        text = ""
        for i, symbol in enumerate(rule):
            part = self._expand(symbol, depth, above)
            if part is None:
                return None
            text += part if i == 0 else self._between(rule[i - 1], {symbol}) + part
        return text

    def _between(self, left: str, right: set[str]) -> str:
        """The white space between two symbols: needed where the lexer would make one token of their neighbours."""
        pairs = [(a, b) for a in self.ends[left][1] for symbol in right for b in self.ends[symbol][0]]
        return self.apart if any(self._glued(a, b) for a, b in pairs) else self.free

    def _ends(self, symbol: str, side: int) -> frozenset[str]:
        """The terminals that a symbol can begin (side 0) or end (side -1) with."""
        found: set[str] = set()
        todo, done = [symbol], set()
        while todo:
            name = todo.pop()
            if name in self.terminals:
                found.add(name)
            elif name not in done:
                done.add(name)
                for rule in self.rules[name]:
                    if not rule:
                        raise NotRegular(f"the rule {name} can be empty")
                    todo.append(rule[side])
        return frozenset(found)

    def _probe(self, left: str, right: str) -> bool:
        """Whether the lexer takes a `left` and a `right` that touch for anything but these two."""
        return any(
            self._lex(a + b) != [(left, a), (right, b)] for a in self._samples(left) for b in self._samples(right)
        )

    def _samples(self, terminal: str) -> list[str]:
        """Some strings that are this terminal, one character or two."""
        import re

        some = [*map(chr, range(0x21, 0x7F)), "é", "\\\\", "\\("]
        found = [text for text in some if re.fullmatch(self.terminals[terminal], text)]
        if not found:
            raise NotRegular(f"no short string is the terminal {terminal}")
        return found[:: max(1, len(found) // _SAMPLES)]

    def _lex(self, text: str) -> list[tuple[str, str]] | None:
        try:
            tokens: list[Any] = list(self.lark.lex(text))
        except Exception:  # any refusal of the lexer means the same here
            return None
        return [(token.type, str(token)) for token in tokens]
