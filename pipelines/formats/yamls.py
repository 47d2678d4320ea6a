"""YAML files, always by the safe loader; every scalar is text as it stands, so `yes`, `no` and `1.0` stay words."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from pipelines.formats.lines import Source, decode, shown, whole


@cache
def _loader() -> Any:
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Texts(base):
        """YAML 1.1 would make False of the intent `no`."""

    Texts.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag == "tag:yaml.org,2002:merge"]
        for first, resolvers in base.yaml_implicit_resolvers.items()
    }
    return Texts


def documents(source: Source) -> Iterator[Any]:
    """The values of a file, or a Rejection for what is not UTF-8 (R101) or not YAML (R103)."""
    import yaml

    data = whole(source.path)
    text = decode(data)
    if text is None:
        yield source.reject(1, "R101", shown(data))
        return
    try:
        yield from yaml.load_all(text, _loader())
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        lines = text.splitlines()
        raw = lines[line - 1] if line <= len(lines) else text
        mend = "; an item that begins with `[` stands in quotes" if raw.lstrip().startswith("- [") else ""
        yield source.reject(line, "R103", raw, f"not YAML: {getattr(error, 'problem', None) or error}{mend}")
