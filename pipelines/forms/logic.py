"""Logical forms of GeoQuery, JOBS and ATIS: lambda calculus in brackets, or Prolog.

    ( lambda $0 e ( and ( airport $0 ) ( loc:t $0 ci0 ) ) )
    plain    (lambda($0)(e)(and(airport($0))(loc:t($0)(ci0))))
    compact  (lambda/$0(e)(and(airport\\($0\\))(loc:t/$0(ci0))))        one leaf `airport($0)`

    job ( ANS ) , language ( ANS , languageid0 )
    plain    (open(job(ANS))(language(ANS)(languageid0)))
    compact  (open(job\\(ANS\\))(language/ANS(languageid0)))

`lambda $0 e ( ... )` without outer brackets, and several goals side by side, stand under `open`. In Prolog a bracket
without a name is `@`, `\\+` is `not`, `;` stands between children of `either`, and the words of a name between blanks
and quotes, `' new york '`, under `quoted`. Compact: a variable that is the first
argument joins the label, and with the last one gone a node is a leaf.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from grammar.tree import Leaf, Tree
from pipelines.flat import is_label
from pipelines.forms import PLAIN, FormError, lisp
from pipelines.forms.lisp import APPLY, MOST_LEVELS

OPEN = "open"
_NOT, _EITHER, _QUOTED = "not", "either", "quoted"
_RESERVED = frozenset({OPEN, _NOT, _EITHER, _QUOTED, PLAIN, APPLY})

_VARIABLE = r"\$\w+|[A-Z][A-Z0-9]*"
_FOLDED_LEAF = re.compile(rf"(.+)\(({_VARIABLE})\)", re.DOTALL)
_FOLDED_LABEL = re.compile(rf"(.+)/({_VARIABLE})", re.DOTALL)
_IS_VARIABLE = re.compile(_VARIABLE)
_TOKEN = re.compile(r"[(),;]|[^\s(),;]+")


def lambda_to_tree(form: str, notation: str = "compact") -> Tree:
    """The tree of a lambda form; tokens stand between single blanks.

    Raises:
        FormError: it is none.
    """
    found = lisp.read_all(form)
    if len(found) == 1 and isinstance(found[0], list):
        tree = lisp.plain(found[0], _RESERVED)
    elif found and isinstance(found[0], str):
        tree = Tree(OPEN, [lisp.plain(found, _RESERVED)])
    else:
        raise FormError("a form is one bracket, or what stands in one")
    if lambda_to_form(tree, "plain") != form:
        raise FormError("tokens stand between single blanks")
    return _written(tree, form, notation, lambda_to_form)


def lambda_to_form(tree: Tree, notation: str = "compact") -> str:
    """The inverse of `lambda_to_tree`.

    Raises:
        FormError: the tree stands for no form.
    """
    tree = _whole(tree, notation)
    if tree.label == OPEN:
        return lisp.write(lisp.unplain(_only(tree)))[2:-2]
    return lisp.write(lisp.unplain(tree))


def prolog_to_tree(form: str, notation: str = "compact") -> Tree:
    """The tree of a goal, or of several with commas between; tokens stand between single blanks.

    Raises:
        FormError: it is none.
    """
    tokens = _TOKEN.findall(form)
    reader = _Prolog(tokens)
    goals = reader.goals(")", 0)
    if reader.at < len(tokens):
        raise FormError("a `)` that closes nothing")
    tree = goals[0] if len(goals) == 1 and isinstance(goals[0], Tree) else Tree(OPEN, goals)
    if prolog_to_form(tree, "plain") != form:
        raise FormError("tokens stand between single blanks")
    return _written(tree, form, notation, prolog_to_form)


def prolog_to_form(tree: Tree, notation: str = "compact") -> str:
    """The inverse of `prolog_to_tree`.

    Raises:
        FormError: the tree stands for no form.
    """
    tree = _whole(tree, notation)
    return _goals(tree) if tree.label == OPEN else _goal(tree)


class _Prolog:
    """Goals out of tokens, from left to right."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at = tokens, 0

    def goals(self, end: str, level: int) -> list[Tree | Leaf]:
        """Goals with commas between them, up to a token `end` or the end."""
        if level > MOST_LEVELS:
            raise FormError(f"over {MOST_LEVELS} brackets are nested")
        found = [self._either(level)]
        while self.at < len(self.tokens) and self.tokens[self.at] == ",":
            self.at += 1
            found.append(self._either(level))
        if self.at < len(self.tokens) and self.tokens[self.at] != end:
            raise FormError(f"`{self.tokens[self.at]}` stands where `,` should")
        return found

    def _either(self, level: int) -> Tree | Leaf:
        ways = [self._goal(level)]
        while self.at < len(self.tokens) and self.tokens[self.at] == ";":
            self.at += 1
            ways.append(self._goal(level))
        return ways[0] if len(ways) == 1 else Tree(_EITHER, ways)

    def _goal(self, level: int) -> Tree | Leaf:
        token = self._next()
        if level > MOST_LEVELS:
            raise FormError(f"over {MOST_LEVELS} signs are nested")
        if token == "\\+":
            return Tree(_NOT, [self._goal(level + 1)])
        if token == "'":
            return Tree(_QUOTED, list(map(Leaf, iter(self._next, "'"))))
        if token == "(":
            return Tree(APPLY, self._bracket(level))
        if token in ("),;"):
            raise FormError(f"`{token}` stands where a goal should")
        if self.at < len(self.tokens) and self.tokens[self.at] == "(":
            if not is_label(token) or token in _RESERVED:
                raise FormError(f"`{token}` cannot be the name of a goal")
            self.at += 1
            return Tree(token, self._bracket(level))
        return Leaf(token)

    def _bracket(self, level: int) -> list[Tree | Leaf]:
        if self.at < len(self.tokens) and self.tokens[self.at] == ")":
            self.at += 1
            return []
        found = self.goals(")", level + 1)
        self._next()
        return found

    def _next(self) -> str:
        if self.at == len(self.tokens):
            raise FormError("it ends too soon")
        self.at += 1
        return self.tokens[self.at - 1]


def _goals(tree: Tree) -> str:
    return " , ".join(map(_goal, tree.children))


def _goal(node: Tree | Leaf) -> str:
    if isinstance(node, Leaf):
        return node.word
    if node.label == _NOT:
        return f"\\+ {_goal(node.children[0])}" if len(node.children) == 1 else _no(f"`{_NOT}` holds one goal")
    if node.label == _EITHER:
        return " ; ".join(map(_goal, node.children))
    if node.label == _QUOTED:
        words = [child.word if isinstance(child, Leaf) else _no(f"`{_QUOTED}` holds words") for child in node.children]
        return " ".join(["'", *words, "'"])
    name = "" if node.label == APPLY else f"{node.label} "
    return f"{name}( {_goals(node)} )" if node.children else f"{name}( )"


def _no(message: str) -> str:
    raise FormError(message)


def _only(tree: Tree) -> Tree:
    if len(tree.children) != 1 or isinstance(tree.children[0], Leaf):
        raise FormError(f"`{tree.label}` holds one tree")
    return tree.children[0]


def _written(tree: Tree, form: str, notation: str, back: Callable[[Tree, str], str]) -> Tree:
    """The plain tree in a notation; compact only if that gives the form back."""
    if notation == "plain":
        return tree
    short = fold(tree)
    assert isinstance(short, Tree)
    try:
        if back(short, notation) == form:
            return short
    except FormError:
        pass
    return Tree(PLAIN, [tree])


def _whole(tree: Tree, notation: str) -> Tree:
    if notation == "plain":
        return tree
    if tree.label == PLAIN:
        return _only(tree)
    whole = unfold(tree)
    assert isinstance(whole, Tree)
    return whole


def fold(node: Tree | Leaf, root: bool = True) -> Tree | Leaf:
    """A plain tree with its variables in the labels; the root stays a node."""
    if isinstance(node, Leaf):
        return node
    first = node.children[0] if node.children else None
    rest = [fold(child, root=False) for child in node.children]
    if node.label in _RESERVED or not isinstance(first, Leaf) or not _IS_VARIABLE.fullmatch(first.word):
        return Tree(node.label, rest)
    if len(rest) == 1:
        return Tree(node.label, rest) if root else Leaf(f"{node.label}({first.word})")
    label = f"{node.label}/{first.word}"
    return Tree(label, rest[1:]) if is_label(label) else Tree(node.label, rest)


def unfold(node: Tree | Leaf) -> Tree | Leaf:
    """The inverse of `fold`."""
    if isinstance(node, Leaf):
        found = _FOLDED_LEAF.fullmatch(node.word)
        return Tree(found[1], [Leaf(found[2])]) if found else node
    found = _FOLDED_LABEL.fullmatch(node.label)
    rest = [unfold(child) for child in node.children]
    return Tree(found[1], [Leaf(found[2]), *rest]) if found else Tree(node.label, rest)
