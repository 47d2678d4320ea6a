"""The machine-readable language (MRL) of NLmaps: functions over quoted keys and values of OpenStreetMap.

    query(area(keyval('name','Old Town')),nwr(keyval('amenity','bank')),qtype(findkey('phone')))
    plain    (query(area(keyval('(name))('(Old)(Town)))) ... )          a node `'` for each quoted text
    compact  (query(area(kv:name(Old)(Town)))(nwr(kv:amenity=bank))(qtype\\(find:phone\\)))

Words of names are leaves of their own, so that they can be copied. Compact: `keyval('k','v')` is one leaf `kv:k=v`, but
for names, which are a node `kv:name` over their words; `keyval('k',or('a','b'))` is `(kv:k(or(val(a))(val(b))))`,
`findkey('k')` a leaf `find:k`, and `topx`, `maxdist`, `least`, `qtype`, `nodup`, `latlong` over one leaf are one leaf.

A quote closes where a comma or a bracket follows, since names hold quotes too (`'St Mary's Court'`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Union

from grammar.tree import Leaf, Tree
from pipelines.flat import is_label
from pipelines.forms import PLAIN, FormError
from pipelines.forms.lisp import MOST_LEVELS


@dataclass(frozen=True, slots=True)
class Quoted:
    """A text between quotes."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function and its arguments."""

    name: str
    arguments: tuple[Term, ...]


Term = Union[str, Quoted, "Call"]
"""A bare atom, a text between quotes, or a call."""

_QUOTE = "'"
_VALUE = "val"
_FOLDED = ("topx", "maxdist", "least", "qtype", "nodup", "latlong")
_TOKEN = re.compile(r"\s*('.*?'(?=\s*[,)]|\s*$)|[(),]|[^\s(),']+)", re.DOTALL)
_FOLDED_LEAF = re.compile(rf"({'|'.join(_FOLDED)})\((.*)\)", re.DOTALL)


def read(text: str) -> Term:
    """The term of a text; blanks between tokens do not count.

    Raises:
        FormError: it is none.
    """
    tokens, end = [], 0
    text = text.strip()
    while end < len(text):
        found = _TOKEN.match(text, end)
        if not found:
            raise FormError(f"`{text[end : end + 10]}` cannot be read")
        tokens.append(found[1])
        end = found.end()
    stack: list[tuple[str, list[Term]]] = [("", [])]
    name, after = "", ","  # the name that waits for its bracket; the token before
    for token in tokens:
        if token == "(" and name:
            if len(stack) > MOST_LEVELS:
                raise FormError(f"over {MOST_LEVELS} brackets are nested")
            stack.append((name, []))
            name = ""
        elif token in ",)" and after not in ",(" and len(stack) > 1:
            if name:
                stack[-1][1].append(name)
                name = ""
            if token == ")":
                label, arguments = stack.pop()
                stack[-1][1].append(Call(label, tuple(arguments)))
        elif token[0] not in "(),'" and after in ",(":
            name = token
        elif token[0] == _QUOTE and after in ",(":
            stack[-1][1].append(Quoted(token[1:-1]))
        else:
            raise FormError(f"`{token}` stands where it should not")
        after = token if token in "(,)" else "x"
    if len(stack) != 1 or len(stack[0][1]) != 1 or name:
        raise FormError("a bracket is not closed" if len(stack) > 1 else "a form is one call")
    return stack[0][1][0]


def write(term: Term, blanks: bool = False) -> str:
    """The text of a term, as published, or with `blanks` between all tokens."""
    if isinstance(term, str):
        return term
    if isinstance(term, Quoted):
        return f"'{term.text}'"
    inner = (" , " if blanks else ",").join(write(argument, blanks) for argument in term.arguments)
    return f"{term.name} ( {inner} )" if blanks else f"{term.name}({inner})"


def to_tree(form: str, notation: str = "compact") -> Tree:
    """The tree of a form as it is published.

    Raises:
        FormError: it is none.
    """
    term = read(form)
    if not isinstance(term, Call):
        raise FormError("a form is one call")
    if write(term) != form:
        raise FormError("blanks stand between tokens")
    whole = _plain(term)
    assert isinstance(whole, Tree)
    if notation == "plain":
        return whole
    short = _pack(term)
    try:
        if isinstance(short, Tree) and to_form(short) == form:
            return short
    except FormError:
        pass
    return Tree(PLAIN, [whole])


def to_form(tree: Tree, notation: str = "compact") -> str:
    """The form that a tree stands for, as it is published.

    Raises:
        FormError: it stands for none.
    """
    if notation == "plain":
        return write(_unplain(tree))
    if tree.label == PLAIN:
        if len(tree.children) != 1 or isinstance(tree.children[0], Leaf):
            raise FormError(f"`{PLAIN}` holds one tree")
        return write(_unplain(tree.children[0]))
    return write(_unpack(tree))


def _words(text: str) -> list[Leaf]:
    """The words of a text between quotes, so that blanks join them again."""
    parts = text.split(" ")
    return [Leaf(part) for part in parts] if all(parts) else [Leaf(text)] if text else []


def _text(tree: Tree) -> str:
    if not all(isinstance(child, Leaf) for child in tree.children):
        raise FormError(f"`{tree.label}` holds words")
    return " ".join(tree.words())


def _plain(term: Term) -> Tree | Leaf:
    if isinstance(term, str):
        return Leaf(term)
    if isinstance(term, Quoted):
        return Tree(_QUOTE, _words(term.text))
    if not is_label(term.name):
        raise FormError(f"`{term.name}` cannot be a label")
    return Tree(term.name, map(_plain, term.arguments))


def _unplain(node: Tree | Leaf) -> Term:
    if isinstance(node, Leaf):
        return node.word
    if node.label == _QUOTE:
        return Quoted(_text(node))
    return Call(node.label, tuple(map(_unplain, node.children)))


def _pack(term: Term) -> Tree | Leaf:
    """A term in compact notation, which may be wrong for a term that no corpus has: the caller looks."""
    match term:
        case str():
            return Leaf(term)
        case Quoted(text):
            return Tree(_VALUE, _words(text))
        case Call("keyval", (Quoted("name"), Quoted(value))) if value != "*":
            return Tree("kv:name", _words(value))
        case Call("keyval", (Quoted(key), Quoted(value))):
            return Leaf(f"kv:{key}={value}")
        case Call("keyval", (Quoted(key), Call() as value)) if is_label(f"kv:{key}"):
            return Tree(f"kv:{key}", [_pack(value)])
        case Call("findkey", (Quoted(key),)):
            return Leaf(f"find:{key}")
    children = [_pack(argument) for argument in term.arguments]
    if term.name in _FOLDED and len(children) == 1 and isinstance(children[0], Leaf):
        return Leaf(f"{term.name}({children[0].word})")
    return Tree(term.name, children)


def _unpack(node: Tree | Leaf) -> Term:
    if isinstance(node, Leaf):
        return _unpack_leaf(node.word)
    if node.label == _VALUE:
        return Quoted(_text(node))
    if node.label.startswith("kv:"):
        key = Quoted(node.label[3:])
        if len(node.children) == 1 and isinstance(node.children[0], Tree):
            return Call("keyval", (key, _unpack(node.children[0])))
        return Call("keyval", (key, Quoted(_text(node))))
    return Call(node.label, tuple(map(_unpack, node.children)))


def _unpack_leaf(word: str) -> Term:
    names = []
    while found := _FOLDED_LEAF.fullmatch(word):
        names.append(found[1])
        word = found[2]
    term: Term = word
    if word.startswith("find:"):
        term = Call("findkey", (Quoted(word[5:]),))
    elif word.startswith("kv:"):
        key, equal, value = word[3:].partition("=")
        if not equal:
            raise FormError(f"`{word}` has no value")
        term = Call("keyval", (Quoted(key), Quoted(value)))
    for name in reversed(names):
        term = Call(name, (term,))
    return term
