"""What people say between two requests, and around them: the inventories of `python -m pipelines compose`.

    general   ours: what joins two requests in English, and not one of the seven strings of MixSNIPS, so neither
              a bare "and" nor a bare comma: how well a parser copes with glue that it never saw can be measured
    mix       the seven strings that MixSNIPS and MixATIS join clauses by, and nothing else

A TOML file with the keys of `Glue` is a third, for other languages or another register.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pipelines.clauses import GLUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Glue:
    """Pieces of text whose words stand between blanks, punctuation by itself: `, and after that`.

    Attributes:
        joins: between two clauses; an empty one sets them side by side, as people do when they speak.
        values: between two values of one slot.
        openers: before the first clause.
        fillers: before a later clause, behind its join.
        closers: behind the last clause.
        filled: share of places for an opener, filler or closer that get one, 0 to 1.
    """

    joins: tuple[str, ...]
    values: tuple[str, ...] = ("and",)
    openers: tuple[str, ...] = ()
    fillers: tuple[str, ...] = ()
    closers: tuple[str, ...] = ()
    filled: float = 0.15

    def __post_init__(self) -> None:
        if not self.joins or not self.values:
            raise ValueError("glue needs at least one of `joins` and one of `values`")
        for name in ("joins", "values", "openers", "fillers", "closers"):
            for piece in getattr(self, name):
                if not isinstance(piece, str) or not (piece.split() or (name == "joins" and not piece)):
                    raise ValueError(f"`{name}` holds {piece!r}, which has no words")
        if not 0 <= self.filled <= 1:
            raise ValueError(f"`filled` is a share, 0 to 1, not {self.filled}")


GENERAL = Glue(
    joins=(
        "",
        ".",
        ";",
        "then",
        ", then",
        "; then",
        ". then",
        "and now",
        ", and now",
        "and next",
        "next",
        ". next",
        "after that",
        ", after that",
        "and after that",
        ", and after that",
        "and afterwards",
        "and later",
        "and finally",
        ", and finally",
        "and lastly ,",
        "and when that is done",
        ", and once you have done that ,",
        "and while you are at it",
        "and at the same time",
        "and in the meantime",
        "also",
        ", also",
        "; also",
        ". also",
        "; and",
        ". and",
        "and please",
        ", and please",
        ", please",
        "and i also need this :",
        "and one more thing ,",
        "and secondly",
        "and on top of that",
        "and besides",
        ", besides that",
        ", oh and",
        ". oh and",
        "plus",
        ", plus",
        ", plus also",
        "as well as",
        "followed by",
        "but first",
        ", but before that ,",
    ),
    values=("and", "or", ", and", "and also", "as well as", "plus"),
    openers=("hey ,", "hi", "okay", "ok so", "please", "right ,", "um", "well ,", "so", "listen ,"),
    fillers=("please", "um", "uh", "maybe", "if you can", "real quick", "let 's see ,"),
    closers=("please", "thanks", "thank you", ", thanks", "right now", "if possible", "ok"),
)

MIX = Glue(joins=tuple(" ".join(words) for words in GLUE), filled=0.0)

BUILT_IN = {"general": GENERAL, "mix": MIX}


def load(name: str) -> Glue:
    """The inventory of a name, or of a TOML file.

    Raises:
        ValueError: neither a name nor a file, or a file that holds something else.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    path = Path(name)
    if not path.is_file():
        raise ValueError(f"`--glue {name}`: not one of {', '.join(BUILT_IN)}, and no such file")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not TOML: {error}") from error
    known = [field.name for field in fields(Glue)]
    for key, value in data.items():
        if key not in known:
            raise ValueError(f"{path}: unknown key `{key}`; the keys are {', '.join(known)}")
        if not isinstance(value, int | float if key == "filled" else list):
            raise ValueError(f"{path}: `{key}` must be {'a number' if key == 'filled' else 'a list of texts'}")
    made: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    try:
        return Glue(**made)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
