"""Logical forms of Overnight, whose functions are those of SEMPRE's SimpleWorld.

    ( call SW.listValue ( call SW.filter ( call SW.getProperty ( call SW.singleton en.meeting ) ( string !type ) )
      ( call SW.ensureNumericProperty ( string start_time ) ) ( string > )
      ( call SW.ensureNumericEntity ( time 10 0 ) ) ) )
    plain    (SW.listValue(SW.filter(SW.getProperty(SW.singleton(en.meeting))(string(!type)))...))
    compact  (filter>N(type:en.meeting)(#'start_time)(time_10_0))

The compact notation, from the inside out: `(call SW.f ..)` is a node `f`; `(string p)` a leaf `'p`, `(var s)` a leaf
`$s`, `(number 3 en.inch)`, `(date ..)` and `(time ..)` leaves with `_` for each blank, `(call SW.reverse (string p))`
a leaf `^p`, all things of a type a leaf `type:en.meeting`, `ensureNumericProperty` of a leaf a `#` before it;
`((lambda s B) A)` is a node `@s`. A comparison or direction joins its function: `filter>`, `superlativemax`, with `N`
for a numeric one. `listValue` at the root is left out over a node.
"""

from __future__ import annotations

import re
from functools import lru_cache

from grammar.tree import Leaf, Tree
from pipelines.flat import is_label
from pipelines.forms import PLAIN, FormError, lisp
from pipelines.forms.lisp import Form

WORLD = "edu.stanford.nlp.sempre.overnight.SimpleWorld."
"""What `SW.` stands for in the original files."""

_OPS = ("<=", ">=", "!=", "<", ">", "=")
_COMPARE = re.compile(r"(filter|countComparative)(<=|>=|!=|<|>|=)(N?)")
_RANK = re.compile(r"(superlative|countSuperlative|aggregate)(max|min|sum|avg)")
_TYPED = re.compile(r"(number|date|time)_(.+)", re.DOTALL)
_SIZES = {"number": 2, "date": 3, "time": 2}


@lru_cache(4096)
def to_tree(form: str, notation: str = "compact") -> Tree:
    """The tree of a form in its short spelling (`SW.`), one blank between tokens.

    Raises:
        FormError: it is none.
    """
    found = lisp.read(form)
    if lisp.write(found) != form:
        raise FormError("tokens stand between single blanks")
    whole = lisp.plain(found)
    if notation == "plain":
        return whole
    tree = _pack(found)
    if isinstance(tree, Tree) and tree.label == "listValue" and [Tree] == [type(child) for child in tree.children]:
        (tree,) = tree.children
    try:
        if isinstance(tree, Tree) and to_form(tree) == form:
            return tree
    except FormError:
        pass
    return Tree(PLAIN, [whole])


def to_form(tree: Tree, notation: str = "compact") -> str:
    """The form that a tree stands for, in its short spelling.

    Raises:
        FormError: it stands for none.
    """
    if notation == "plain":
        return lisp.write(lisp.unplain(tree))
    if tree.label == PLAIN:
        if len(tree.children) != 1 or isinstance(tree.children[0], Leaf):
            raise FormError(f"`{PLAIN}` holds one tree")
        return lisp.write(lisp.unplain(tree.children[0]))
    form = _unpack(tree)
    return lisp.write(form if tree.label == "listValue" else _call("listValue", form))


def _call(name: str, *rest: Form) -> list[Form]:
    return ["call", name if name.startswith(".") else f"SW.{name}", *rest]


def _pack(form: Form) -> Tree | Leaf:
    """A form in compact notation, which may be wrong for a form that no corpus has: the caller looks."""
    match form:
        case str():
            return Leaf(form)
        case ["string", str(name)]:
            return Leaf(f"'{name}")
        case ["var", str(name)]:
            return Leaf(f"${name}")
        case ["number" | "date" | "time", *atoms] if atoms and all(isinstance(atom, str) for atom in atoms):
            return Leaf("_".join(str(atom) for atom in form))
        case ["call", "SW.reverse", ["string", str(name)]]:
            return Leaf(f"^{name}")
        case ["call", "SW.getProperty", ["call", "SW.singleton", str(kind)], ["string", "!type"]]:
            return Leaf(f"type:{kind}")
        case [["lambda", str(name), body], argument] if is_label(f"@{name}"):
            return Tree(f"@{name}", [_pack(body), _pack(argument)])
        case ["call", str(name), *rest] if name.startswith(("SW.", ".")) and is_label(name):
            return _packed_call(name.removeprefix("SW."), [_pack(item) for item in rest])
    return lisp.plain(form) if isinstance(form, list) else Leaf(form)


def _packed_call(name: str, rest: list[Tree | Leaf]) -> Tree | Leaf:
    match name, rest:
        case "ensureNumericProperty", [Leaf(word)]:
            return Leaf(f"#{word}")
        case "filter" | "countComparative", [who, what, Leaf(op), *values] if op[:1] == "'" and op[1:] in _OPS:
            match what, values:
                case Leaf(word), [Tree(label="ensureNumericEntity", children=(value,))] if word.startswith("#"):
                    return Tree(f"{name}{op[1:]}N", [who, what, value])
            return Tree(f"{name}{op[1:]}", [who, what, *values])
        case "superlative" | "countSuperlative", [who, Leaf(way), *what] if _RANK.fullmatch(f"{name}{way[1:]}"):
            return Tree(f"{name}{way[1:]}", [who, *what])
        case "aggregate", [Leaf(way), *what] if _RANK.fullmatch(f"{name}{way[1:]}"):
            return Tree(f"{name}{way[1:]}", what)
    return Tree(name, rest)


def _unpack(node: Tree | Leaf) -> Form:
    if isinstance(node, Leaf):
        return _unpack_leaf(node.word)
    parts = [_unpack(child) for child in node.children]
    if node.label.startswith("@") and len(node.label) > 1:
        if len(parts) != 2:
            raise FormError(f"`{node.label}` holds a body and an argument")
        return [["lambda", node.label[1:], parts[0]], parts[1]]
    if found := _COMPARE.fullmatch(node.label):
        if len(parts) < 2 or (found[3] and len(parts) != 3):
            raise FormError(f"`{node.label}` lacks a child")
        values = [_call("ensureNumericEntity", *parts[2:])] if found[3] else parts[2:]
        return _call(found[1], parts[0], parts[1], ["string", found[2]], *values)
    if found := _RANK.fullmatch(node.label):
        if not parts:
            raise FormError(f"`{node.label}` lacks a child")
        first = [] if found[1] == "aggregate" else parts[:1]
        return _call(found[1], *first, ["string", found[2]], *parts[len(first) :])
    return _call(node.label, *parts)


def _unpack_leaf(word: str) -> Form:
    if word.startswith("#"):
        return _call("ensureNumericProperty", _unpack_leaf(word[1:]))
    if word.startswith("'"):
        return ["string", word[1:]]
    if word.startswith("$"):
        return ["var", word[1:]]
    if word.startswith("^"):
        return _call("reverse", ["string", word[1:]])
    if word.startswith("type:"):
        return _call("getProperty", _call("singleton", word[5:]), ["string", "!type"])
    if found := _TYPED.fullmatch(word):
        return [found[1], *found[2].split("_", _SIZES[found[1]] - 1)]
    return word
