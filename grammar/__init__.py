"""What a tree is and how it is written.

    >>> import grammar
    >>> grammar.parse("(PlayMusicIntent(MediaType(music)))").words()
    ['music']

Names that need lark or more are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from grammar.ontology import Ontology
from grammar.tree import Leaf, Span, Tree

if TYPE_CHECKING:
    from grammar.checker import check
    from grammar.finding import Finding
    from grammar.syntax import parse

__all__ = ["Finding", "Leaf", "Ontology", "Span", "Tree", "check", "parse"]
__version__ = "0.1.0"

_LAZY = {"Finding": "grammar.finding", "check": "grammar.checker", "parse": "grammar.syntax"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module `grammar` has no attribute `{name}`")
