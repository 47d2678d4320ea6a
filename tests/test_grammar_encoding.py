"""Findings about characters (E5): what is said, where, and what must not be said of honest text."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammar.encoding import check_encoding, is_clean, is_harmless
from grammar.rules import RULES


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("â€™s", [("E505", 0, 3, "’")]),
        ("ÐŸÑ€Ð¸Ð²ÐµÑ‚ x", [("E505", 0, 12, "Привет")]),
        ("SÃ£o", [("E505", 1, 3, "ã")]),
        ("\u00f0\u009f\u008e\u00b5", [("E505", 0, 4, "🎵")]),  # read as Latin-1
        ("a\x00\x01b\x7f", [("E506", 1, 3, ""), ("E506", 4, 5, "")]),
        ("(\x00)", [("E506", 1, 2, None)]),  # without it the brackets would be empty
        ("\u202eab\u202c", [("E507", 0, 1, ""), ("E507", 3, 4, "")]),
        ("Cafe\u0301s a\u030a", [("E508", 3, 5, "é"), ("E508", 7, 9, "å")]),
        ("\u1100\u1161", [("E508", 0, 2, "가")]),
        ("a\u00a0b\u3000", [("E509", 1, 2, " "), ("E509", 3, 4, " ")]),
        ("a\u2028b", [("E509", 1, 2, " ")]),
        ("Jo\u200blene", [("E510", 2, 3, "")]),
        ("x\ufeff", [("E510", 1, 2, "")]),
        ("\ufffd", [("E511", 0, 1, None)]),
        ("caf\udce9", [("E503", 3, 4, None)]),
        ("\udced\udca0\udcbc\udced\udcbe\udcb5\udce9", [("E504", 0, 6, "🎵"), ("E503", 6, 7, None)]),
        ("\udced\udca0\udcbcx", [("E504", 0, 3, None)]),
        ("\ud83d", [("E504", 0, 1, None)]),
    ],
)
def test_what_is_found(text: str, wanted: list[tuple[str, int, int, str | None]]) -> None:
    found = check_encoding(text)
    assert [(f.code, f.span.start, f.span.end, f.fix and f.fix.text) for f in found] == wanted


@pytest.mark.parametrize(
    "text",
    [
        "“CAFÉ” «DÉJÀ» l’été… 5,50€ naïve Ångström",
        "IRMÃ” AMANHÃ».",
        "你好，世界 안녕하세요 สวัสดี مرحبا שלום नमस्ते",
        "می\u200cخواهم क्\u200dष 👨\u200d👩\u200d👧 🇩🇪 ❤️",  # joiners belong to these scripts and to emoji
        "\t\r\n",
    ],
)
def test_honest_text_is_clean(text: str) -> None:
    assert check_encoding(text) == []


@given(st.text(alphabet=st.characters(codec=None) | st.sampled_from("Ãâ€©éÐ°\u0301\u00a0\udced\udca0\udcbd")))
def test_the_quick_look_misses_nothing(text: str) -> None:
    found = check_encoding(text, codes=RULES)
    assert not (is_clean(text) and found)
    # The same rules with the quick look taken away, as a text that is never clean.
    again = check_encoding(text + " \x00", codes=RULES)
    assert [(f.code, f.span) for f in again if f.span.end <= len(text)] == [(f.code, f.span) for f in found]
    for one, other in itertools.pairwise(found):
        assert one.span.end <= other.span.start


@given(st.text("ab e\u0301\u030a\u0327\u1100\u1161\u212b()", max_size=12))
def test_composing_every_span_composes_the_text(text: str) -> None:
    mended = text
    for one in reversed(check_encoding(text, codes={"E508"})):
        assert one.fix
        mended = mended[: one.span.start] + one.fix.text + mended[one.span.end :]
    assert mended == unicodedata.normalize("NFC", text)


@given(st.text(st.characters(codec="utf-8", min_codepoint=0x80), min_size=2, max_size=6))
def test_utf_8_read_as_latin_1_is_recognised(text: str) -> None:
    wrong = text.encode("utf-8").decode("latin-1")
    assert "E505" in {f.code for f in check_encoding(wrong)}
    assert any(f.fix and f.fix.text in text for f in check_encoding(wrong) if f.code == "E505")


@given(st.text(st.characters(min_codepoint=0x80, exclude_categories=["Cs"]).filter(is_harmless), max_size=8))
def test_text_of_harmless_characters_is_clean(text: str) -> None:
    assert is_clean(text) and is_clean(f"(a(\u1100{text})(e{text}))")


def test_no_second_character_of_a_pair_is_harmless() -> None:
    pairs = [unicodedata.normalize("NFD", chr(point)) for point in range(0xC0, 0x20000) if not 0xD800 <= point < 0xE000]
    joined = [pair for pair in pairs if len(pair) == 2 and len(unicodedata.normalize("NFC", pair)) == 1]
    assert len(joined) > 500 and not any(is_harmless(pair[1]) for pair in joined)
