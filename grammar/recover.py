"""Syntax findings (E1): one scan over the tokens that goes on after a mistake.

It is held equal to the grammar by a test: it finds nothing exactly where Lark parses. Where it finds
something, it still hands over the tree that was most likely meant, so that one missing bracket does
not hide a misspelt label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from grammar.finding import Finding, Fix, Related
from grammar.rules import MAX_BYTES, MAX_DEPTH, finding
from grammar.tree import NOT_LABEL, Leaf, Span, Tree, unescape

# A bracket, or an atom with its escapes, right and wrong ones alike.
_TOKEN = re.compile(r"[()]|(?:[^ \t\r\n()\\]|\\[^\t\r\n]?)+")
# The same, with what most trees are made of in one step: a word in its brackets, and a bracket with its node's label.
_STEP = re.compile(rf"\(([^ \t\r\n()\\]+)\)|\(([A-Za-z0-9_.:/\-!@#<>=+*?'$%]+)(?=\()|{_TOKEN.pattern}")
_WRONG_ESCAPE = re.compile(r"\\(?:[ ()\\]|(?P<wrong>[^ ()\\]?))")


_MOST = 10_000
"""Mistakes of one text after which it is read no further; a million extra brackets would fill the memory."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a scan gave. `tree` is None where nothing like a tree was found; a node whose label is
    unusable has the label ``""``."""

    tree: Tree | None
    findings: list[Finding]


class _Open:
    """A bracket that is not closed yet, at `at`."""

    __slots__ = ("at", "atoms", "children", "empty")

    def __init__(self, at: int, atoms: list[Span]) -> None:
        self.at, self.atoms = at, atoms  # those before the first child
        self.children: list[Tree | Leaf] = []
        self.empty: list[Span] = []  # brackets with nothing in them


def over_limit(text: str) -> Finding | None:
    """E112 or E113 where the text is over a limit, found without a parser."""
    if len(text) > MAX_BYTES // 4:
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > MAX_BYTES:
            return finding("E113", Span(0, len(text)), size=size)
    if text.count("(") <= MAX_DEPTH + 1:
        return None
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        # The leaf below the deepest node has brackets too.
        if depth > MAX_DEPTH + 1:
            return finding("E112", Span(*token.span()))
    return None


def scan(text: str) -> Recovered:
    """Everything that is wrong with the syntax of `text`, in order of place, and the tree as far as it goes."""
    if over := over_limit(text):
        return Recovered(None, [over])
    if text.count("(") == text.count(")") and (tree := _plain(text)):
        return Recovered(tree, [])
    scanner = _Scanner(text)
    scanner.run()
    return Recovered(scanner.tree, sorted(scanner.findings, key=lambda f: (f.span.start, f.code)))


def _plain(text: str) -> Tree | None:
    """The tree, where nothing is wrong and each word has its own brackets, without escapes; else nothing is known."""
    open_: list[tuple[int, int, str, list[Tree | Leaf]]] = []
    children: list[Tree | Leaf] = []  # of the newest open bracket
    tree = None
    for step in _STEP.finditer(text):
        kind, (start, end) = step.lastindex, step.span()
        if tree is not None:
            return None
        if kind == 1:
            if not open_:
                return None
            children.append(Leaf(step[1], Span(start + 1, end - 1)))
        elif kind == 2:
            children = []
            open_.append((start, end, step[2], children))
        elif open_ and step[0] == ")":
            at, behind, label, inner = open_.pop()
            node = Tree(label, inner, Span(at, end), Span(at + 1, behind))
            if open_:
                children = open_[-1][3]
                children.append(node)
            else:
                tree = node
        else:
            return None
    return tree


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tree: Tree | None = None
        self.findings: list[Finding] = []
        self.stack: list[_Open] = []
        self.done = False  # the root was closed, whatever it was

    def run(self) -> None:
        before: Span | None = None
        stack = self.stack
        for step in _STEP.finditer(self.text):
            kind, (start, end) = step.lastindex, step.span()
            if len(self.findings) >= _MOST:
                return
            if kind == 1 and stack:
                stack[-1].children.append(Leaf(step[1], Span(start + 1, end - 1)))
                continue
            token = step[0]
            if token[0] == "(":
                if self.done:
                    self.rest(start)
                    break
                stack.append(_Open(start, [Span(start + 1, end - (kind == 1))] if kind else []))
                if kind == 1:
                    self.close(end)
            elif token == ")":
                if stack:
                    self.close(end)
                else:
                    self.findings.append(finding("E102", Span(start, end), Fix(Span(start, end), "", safe=False)))
            elif stack:
                self.atom(Span(start, end))
            elif self.done:
                self.rest(start)
                break
            else:
                before = Span(before.start if before else start, end)
        if before:
            where = "before" if self.done or self.stack else "instead of"
            self.findings.append(finding("E106", before, where=where, help="remove it; a tree begins with `(`"))
        if self.stack:
            self.unclosed()
        elif not self.done and not self.findings:
            self.findings.append(finding("E111", Span(0, len(self.text))))

    def rest(self, start: int) -> None:
        """The root is closed but the text goes on; what follows is not read."""
        end = len(self.text.rstrip(" \t\r\n"))
        if self.text[start] == "(":
            help_ = "join the trees as `(and ...)`, write one a line, or remove a `)` before it that closes too much"
        else:
            help_ = "remove it, or a `)` before it that closes too much"
        self.findings.append(finding("E106", Span(start, end), where="after", help=help_))

    def atom(self, span: Span) -> None:
        top = self.stack[-1]
        self.escapes(span)
        if top.children or top.empty:
            self.beside(span)
            top.children.append(self.leaf(span))
        else:
            top.atoms.append(span)

    def close(self, end: int) -> None:
        """A bracket closes the newest open one: a leaf, a node, or nothing at all."""
        top = self.stack.pop()
        span = Span(top.at, end)
        self.done = not self.stack
        if top.children or top.empty:
            self.node(top, span)
        elif top.atoms:
            self.leaves(top, span)
        elif self.stack:
            self.stack[-1].empty.append(span)  # its parent knows whether `()` may stand there
        else:
            self.findings.append(finding("E103", span))

    def node(self, top: _Open, span: Span) -> None:
        if top.empty and not (len(top.empty) == 1 and len(top.atoms) == 1 and not top.children):
            self.findings += [finding("E103", empty, Fix(empty, "", safe=False)) for empty in top.empty[:_MOST]]
        if not top.atoms:
            if top.children:
                self.findings.append(finding("E104", Span(top.at, top.at + 1)))
            tree = Tree("", top.children, span, Span(top.at, top.at + 1))
        else:
            label, *loose = top.atoms
            children = top.children
            if loose:
                self.beside(Span(loose[0].start, loose[-1].end))
                children = [*map(self.leaf, loose), *children]
            tree = Tree(self.label(label), children, span, label)
        if self.stack:
            self.stack[-1].children.append(tree)
        else:
            self.tree = tree

    def leaves(self, top: _Open, span: Span) -> None:
        if self.stack:
            self.stack[-1].children += map(self.leaf, top.atoms)
            return
        inner = Span(top.atoms[0].start, top.atoms[-1].end)
        text = self.text[inner.start : inner.end]
        fix = None
        if len(top.atoms) == 1:
            help_ = f"a node without children is written `({text}())`"
            fix = None if NOT_LABEL.search(text) else Fix(Span(inner.end, inner.end), "()", safe=False)
        else:
            label, words = top.atoms[0], text[top.atoms[1].start - inner.start :]
            help_ = f"a node's words have their own brackets, as in `({self.text[label.start : label.end]}({words}))`"
        self.findings.append(finding("E105", inner, fix, word=text, help=help_))

    def unclosed(self) -> None:
        """One finding for all open brackets; then they are closed, to see what is in them."""
        end = len(self.text.rstrip(" \t\r\n"))
        missing = len(self.stack)
        at = self.stack[-1].at
        self.findings.append(
            finding(
                "E101",
                Span(at, at + 1),
                Fix(Span(end, end), ")" * missing, safe=False),
                Related(Span(end, end), "the text ends here"),
                count="this bracket is" if missing == 1 else f"{missing} brackets are",
                brackets=")" * missing if missing <= 8 else f"{missing} closing brackets",
            )
        )
        while self.stack:
            top = self.stack[-1]
            if top.children or top.empty or (top.atoms and len(self.stack) > 1):
                self.close(end)
            else:
                self.stack.pop()  # an empty bracket or a lone root word: enough was said

    def label(self, span: Span) -> str:
        text = self.text[span.start : span.end]
        if wrong := NOT_LABEL.search(text):
            if not any(self.wrong_escapes(span)):
                at = span.start + wrong.start()
                self.findings.append(finding("E107", Span(at, at + 1), char=wrong[0]))
            return ""
        return text

    def leaf(self, span: Span) -> Leaf:
        word = self.text[span.start : span.end]
        return Leaf(unescape(word) if "\\" in word else word, span)

    def beside(self, span: Span) -> None:
        words = self.text[span.start : span.end]
        self.findings.append(finding("E108", span, Fix(span, f"({words})", safe=True), words=words))

    def escapes(self, span: Span) -> None:
        if self.text.find("\\", span.start, span.end) < 0:
            return
        for wrong in self.wrong_escapes(span):
            text = self.text[wrong.start : wrong.end]
            fix = Fix(Span(wrong.start, wrong.start), "\\", safe=True)
            self.findings.append(finding("E109" if len(text) == 2 else "E110", wrong, fix, escape=text))

    def wrong_escapes(self, span: Span) -> Iterator[Span]:
        for match in _WRONG_ESCAPE.finditer(self.text, span.start, span.end):
            if match["wrong"] is not None:
                yield Span(*match.span())
