"""Alignment findings (E3): leaves against the words of the utterance.

Each leaf copies one word, each word is copied once, from left to right. Two steps: find for each leaf
the words it may have been copied from, then find the longest alignment in order; what is left over
is out of order or used too often.
"""

from __future__ import annotations

import difflib
import unicodedata
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

from grammar.finding import Finding, Fix
from grammar.rules import finding
from grammar.tree import Leaf, Span, escape


def check_alignment(
    leaves: Sequence[Leaf], words: Sequence[str], lexicon: Collection[str] = (), ambiguous: bool = False
) -> list[Finding]:
    """Hold leaves, left to right, against the words of the utterance.

    A leaf of the lexicon may be generated and is passed over. Words are compared after NFC and without
    case, so that a leaf that differs only in these is one finding, not three. With `ambiguous`, leaves
    that could have been copied from several places are named too (E306).
    """
    findings: list[Finding] = []
    keys = [_key(word) for word in words]
    forms: defaultdict[str, list[str]] = defaultdict(list)
    for word, key in zip(words, keys, strict=True):
        forms[key].append(word)
    found: list[Leaf] = []
    for leaf in leaves:
        if leaf.word in lexicon:
            continue
        same = forms.get(_key(leaf.word))
        if same is None:
            findings.append(_absent(leaf, words, keys))
            continue
        found.append(leaf)
        if leaf.word not in same:
            findings.append(_differs(leaf, same))
    return findings + _order(found, keys, forms, ambiguous)


def _order(leaves: Sequence[Leaf], keys: Sequence[str], forms: dict[str, list[str]], ambiguous: bool) -> list[Finding]:
    """E302 and E303 for the leaves that the longest alignment leaves over; E306 if it leaves none."""
    wanted = [_key(leaf.word) for leaf in leaves]
    aligned = _align(wanted, keys)
    if ambiguous and all(aligned):
        return _ambiguous(leaves, wanted, keys)
    surplus = {key: count - len(forms[key]) for key, count in Counter(wanted).items()}
    findings: list[Finding] = []
    for leaf, key, in_order in zip(leaves, wanted, aligned, strict=True):
        if in_order:
            continue
        if surplus[key] > 0:
            surplus[key] -= 1
            times = len(forms[key])
            occurs = "once" if times == 1 else f"{times} times"
            findings.append(finding("E302", _span(leaf), word=leaf.word, occurs=occurs))
        else:
            findings.append(finding("E303", _span(leaf), word=leaf.word))
    return findings


def _ambiguous(leaves: Sequence[Leaf], wanted: Sequence[str], keys: Sequence[str]) -> list[Finding]:
    """E306 for leaves that can stand in several places although all of them are in order.

    What comes first takes its first place, what comes last its last; a leaf may stand wherever its word
    occurs between the two.
    """
    first = _places(wanted, keys)
    last = [len(keys) - 1 - place for place in reversed(_places(wanted[::-1], keys[::-1]))]
    findings: list[Finding] = []
    for leaf, key, low, high in zip(leaves, wanted, first, last, strict=True):
        if low < high:
            places = " or ".join(str(i + 1) for i in range(low, high + 1) if keys[i] == key)
            findings.append(finding("E306", _span(leaf), word=leaf.word, places=places))
    return findings


def _places(wanted: Sequence[str], keys: Sequence[str]) -> list[int]:
    """For each of `wanted`, all of which are in order in `keys`, the first place it can have."""
    rest = iter(range(len(keys)))
    return [next(place for place in rest if keys[place] == key) for key in wanted]


def _align(wanted: Sequence[str], keys: Sequence[str]) -> list[bool]:
    """Which of `wanted` are in a longest alignment with `keys` in order (Hunt and Szymanski 1977)."""
    if _is_subsequence(wanted, keys):
        return [True] * len(wanted)
    places: defaultdict[str, list[int]] = defaultdict(list)
    for i, key in enumerate(keys):
        places[key].append(i)
    ends: list[int] = []  # ends[n]: the smallest last position of an alignment of n + 1 leaves
    links: list[tuple[int, object]] = []  # of that alignment: (number of its last leaf, link before it)
    for number, key in enumerate(wanted):
        # From right to left, so that one leaf is not aligned twice.
        for place in reversed(places[key]):
            n = bisect_left(ends, place)
            link = (number, links[n - 1] if n else None)
            if n == len(ends):
                ends.append(place)
                links.append(link)
            elif place < ends[n]:
                ends[n], links[n] = place, link
    aligned = [False] * len(wanted)
    link_: object = links[-1] if links else None
    while isinstance(link_, tuple):
        number, link_ = link_
        aligned[number] = True
    return aligned


def _is_subsequence(wanted: Sequence[str], keys: Sequence[str]) -> bool:
    rest = iter(keys)
    return all(key in rest for key in wanted)


def _absent(leaf: Leaf, words: Sequence[str], keys: Sequence[str]) -> Finding:
    if apart := _apart(_key(leaf.word), keys):
        several = [escape(word) for word in words[apart[0] : apart[1]]]
        # With blanks between them they are as many leaves, wherever the one stood.
        fix = Fix(_span(leaf), " ".join(several), safe=False)
        help_ = f"the utterance has it as {len(several)} words; write `({')('.join(several)})`"
        return finding("E301", _span(leaf), fix, word=leaf.word, help=help_)
    near = difflib.get_close_matches(leaf.word, list(dict.fromkeys(words)), 1)
    if near:
        fix = Fix(_span(leaf), escape(near[0]), safe=False)
        return finding("E301", _span(leaf), fix, word=leaf.word, help=f"the utterance has `{near[0]}`")
    help_ = "copy a word of the utterance, or list it under `[lexicon]` in the ontology"
    return finding("E301", _span(leaf), word=leaf.word, help=help_)


def _apart(key: str, keys: Sequence[str]) -> tuple[int, int] | None:
    """The neighbouring words, as a range, that are `key` when they are written together."""
    for start, first in enumerate(keys):
        text, end = first, start + 1
        while key.startswith(text) and len(text) < len(key) and end < len(keys):
            text, end = text + keys[end], end + 1
        if text == key and end > start + 1:
            return start, end
    return None


def _differs(leaf: Leaf, same: Sequence[str]) -> Finding:
    nfc = unicodedata.normalize("NFC", leaf.word)
    fix: Fix | None
    for form in same:
        if unicodedata.normalize("NFC", form) == nfc:
            # The two look the same on a screen, so the help names the characters.
            shown = " ".join(f"U+{ord(char):04X}" for char in form if not char.isascii()) or f"`{form}`"
            # Where the utterance is not composed either, it is the utterance that has to be mended.
            fix = Fix(_span(leaf), escape(form), safe=True) if form == nfc else None
            return finding("E305", _span(leaf), fix, word=leaf.word, form=shown)
    fix = Fix(_span(leaf), escape(same[0]), safe=False)
    return finding("E304", _span(leaf), fix, word=leaf.word, form=same[0])


def _key(word: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", word).casefold())


def _span(leaf: Leaf) -> Span:
    assert leaf.span is not None
    return leaf.span
