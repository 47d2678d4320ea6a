"""Mends that a machine can make: the fixes of findings, applied until there is none left to apply.

A safe fix keeps what the tree means; an unsafe one is the likeliest mend, and a person looks at it. Mending
runs to the end, so that doing it again changes nothing, and text without a fixable finding stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from grammar.finding import Finding, Fix

_ROUNDS = 64
"""More than any mend needs; a tree that is still changing then is left alone."""

Check = Callable[[str, "str | list[str] | None"], list[Finding]]
"""(tree, utterance) -> findings."""


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of one row.

    Attributes:
        tree: the text of the tree.
        utterance: as it was given, mended too where it is text.
        fixed: codes of the findings that were mended, in the order of mending.
        left: the findings that remain.
    """

    tree: str
    utterance: str | list[str] | None
    fixed: list[str]
    left: list[Finding]


def mend(tree: str, utterance: str | list[str] | None, check: Check, unsafe: bool = False) -> Mended:
    """Apply fixes to a tree and its utterance until no finding has one.

    Args:
        tree: a tree in brackets, however broken.
        utterance: what it stands for, if known; words given as a list are left alone.
        check: how findings are made; see `grammar.check`.
        unsafe: whether to apply unsafe fixes too.
    """
    given = Mended(tree, utterance, [], check(tree, utterance))
    now, seen = given, {(tree, str(utterance))}
    for _ in range(_ROUNDS):
        fixable = [finding for finding in now.left if finding.fix and (finding.fix.safe or unsafe)]
        texts = {"tree": now.tree} | ({"utterance": now.utterance} if isinstance(now.utterance, str) else {})
        fixed = list(now.fixed)
        for field, text in texts.items():
            texts[field], done = apply([finding for finding in fixable if finding.field == field], text)
            fixed += [finding.code for finding in done]
        if len(fixed) == len(now.fixed):
            return now
        mended, spoken = texts["tree"], texts.get("utterance", now.utterance)
        if (mended, str(spoken)) in seen:
            break
        seen.add((mended, str(spoken)))
        now = Mended(mended, spoken, fixed, check(mended, spoken))
    return given


def apply(findings: Sequence[Finding], text: str) -> tuple[str, list[Finding]]:
    """Make the edits of `findings`, the first of those that touch each other; the others wait for the next round.

    >>> from grammar.checker import check
    >>> text = "(and(PlayMusicIntent(Title(Star) Wars))"
    >>> apply([finding for finding in check(text) if finding.fix], text)[0]
    '(and(PlayMusicIntent(Title(Star) (Wars))))'
    """
    done: list[Finding] = []
    parts: list[str] = []
    at = -1  # behind the last edit
    for finding in sorted(findings, key=_start):
        fix = _fix(finding)
        if fix.span.start > at or (fix.span.start == at and not done):
            parts += [text[max(at, 0) : fix.span.start], fix.text]
            at = fix.span.end
            done.append(finding)
    return "".join([*parts, text[max(at, 0) :]]), done


def _start(finding: Finding) -> tuple[int, int]:
    span = _fix(finding).span
    return span.start, span.end


def _fix(finding: Finding) -> Fix:
    assert finding.fix is not None
    return finding.fix
