"""Trees drawn as SVG, and the HTML report: whole, deterministic, safe with hostile input."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from strategies import trees
from test_grammar_cli import run, write

from grammar import Leaf, Tree, check, parse
from grammar.finding import Place
from grammar.ontology import loads
from grammar.report import Report
from grammar.rows import Row
from grammar.svg import LAYOUTS, is_right_to_left, svg

HOSTILE = "</title></style><script>alert('\"&')</script><img\u00a0src=x\u00a0onerror=alert(1)>\u202e\x00\x85"
SPACE = "{http://www.w3.org/2000/svg}"


def texts(drawing: str) -> list[tuple[str, float, float]]:
    """(text, x, y) of everything that is written."""
    return [
        (element.text or "", float(element.get("x", 0)), float(element.get("y", 0)))
        for element in ET.fromstring(drawing).iter(f"{SPACE}text")
    ]


@given(trees(size=20))
def test_every_label_and_word_is_drawn_inside_the_picture(tree: Tree) -> None:
    for layout in LAYOUTS:
        drawing = svg(tree, layout=layout)
        root = ET.fromstring(drawing)
        width, height = float(root.get("width", 0)), float(root.get("height", 0))
        drawn = texts(drawing)

        assert drawing == svg(parse(str(tree)), layout=layout)
        assert len(drawn) == sum(1 for _ in tree.walk()) + len(tree.words())
        assert all(0 <= x <= width and 0 <= y <= height for _, x, y in drawn)
        boxes = [
            tuple(float(box.get(name, 0)) for name in ("x", "y", "width", "height"))
            for box in root.iter(f"{SPACE}rect")
        ]
        for i, (x, y, w, h) in enumerate(boxes):
            assert x >= 0 and x + w <= width
            assert all(x + w <= a or a + c <= x or y + h <= b or b + d <= y for a, b, c, d in boxes[:i])


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("(and(A(add(S(x))(S(y))))(B()))", ["function", "intent", "function", "slot", "slot", "intent"]),
        ("(IN:A(SL:B(IN:C())))", ["intent", "slot", "intent"]),
    ],
)
def test_kinds_are_guessed_by_shape(text: str, kinds: list[str]) -> None:
    assert re.findall(r'<g class="(\w+)"', svg(parse(text))) == kinds


def test_an_ontology_says_the_kinds() -> None:
    ontology = loads("[slots.A]\ntakes=['B']\n[intents.B]")
    assert re.findall(r'<g class="(\w+)"', svg(parse("(A(B()))"), ontology)) == ["slot", "intent"]


def test_scripts_from_right_to_left_are_mirrored() -> None:
    hebrew, english = parse("(A(B(שיר))(C(אהבה)))"), parse("(A(B(song))(C(love)))")
    assert (is_right_to_left(hebrew), is_right_to_left(english)) == (True, False)
    places = {text: x for text, x, _ in texts(svg(hebrew))}
    assert places["B"] > places["C"]
    assert svg(hebrew).count('direction="rtl"') == 2
    places = {text: x for text, x, _ in texts(svg(english))}
    assert places["B"] < places["C"]


def test_wide_characters_take_two_cells_and_combining_ones_none() -> None:
    def width(word: str) -> float:
        return float(ET.fromstring(svg(Tree("A", [Leaf(word), Leaf("x")]))).get("width", 0))

    assert width("音楽音楽音楽") == width("abcdefghijkl")
    assert width("e\u0301" * 12) == width("e" * 12)


def test_sixty_leaves_are_an_outline_of_readable_width() -> None:
    tree = Tree("and", [Tree("AddIntent", [Tree("ItemName", [Leaf("apples"), Leaf("pears")]) for _ in range(30)])])
    root = ET.fromstring(svg(tree))

    assert float(root.get("width", 0)) < 600
    assert len({y for _, _, y in texts(svg(tree))}) == 32
    assert float(ET.fromstring(svg(tree, layout="down")).get("width", 0)) > 3000


def test_a_deep_tree_is_drawn() -> None:
    drawn = texts(svg(parse("(a" * 1000 + "(x)" + ")" * 1000)))

    assert len(drawn) == 1001


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def assert_safe(html: str) -> None:
    """No scripts, no handlers, nothing from elsewhere, no characters that turn lines round."""
    for tag, attributes in Tags(html).tags:
        assert tag not in ("script", "img", "iframe", "link", "object", "base")
        assert not [name for name in attributes if name.startswith("on") or name == "src"]
        assert attributes.get("href", "#").startswith("#")
    assert not re.search("[\x00\x85\u202e]", html)
    assert not re.search(r"@import|url\(", html)


def row(path: str, line: int, tree: str) -> Row:
    return Row(Place(path, line, tree), "trees", tree, tree)


def counts(report: Report, trees: int) -> dict:
    wrong, findings = (sum(numbers[i] for numbers in report.files.values()) for i in (0, 1))
    codes = {code: findings for code in report.examples}
    return {"trees": trees, "trees_with_findings": wrong, "findings": findings, "codes": codes, "by": {}}


def hostile_report() -> str:
    tree = f"(A(B({HOSTILE.replace('(', '').replace(')', '')})) loose)"
    findings = check(tree, loads("[intents.A]"), HOSTILE)
    report = Report()
    report.add(
        row(HOSTILE, 1, tree), [(f, Place(HOSTILE, 1, tree if f.field == "tree" else HOSTILE)) for f in findings]
    )
    by = {"annotator": [{"annotator": HOSTILE, "trees": 1, "trees_with_findings": 1, "findings": len(findings)}]}
    return report.html(counts(report, 1) | {"by": by}, HOSTILE)


def test_hostile_input_stays_text() -> None:
    assert_safe(hostile_report())
    drawing = svg(Tree(HOSTILE, [Leaf(HOSTILE), Leaf("\ud800")]))
    assert [element.tag for element in ET.fromstring(drawing).iter(f"{SPACE}script")] == []
    assert_safe(drawing)


def test_a_report_keeps_few_examples_and_counts_all() -> None:
    report = Report()
    for i in range(50):
        one = row(f"{i % 30:02}.trees", i, "(a(b) c)")
        report.add(one, [(finding, one.place) for finding in check("(a(b) c)")])
    report.trees.update({f"{i:02}.trees": 5 for i in range(30)})
    html = report.html(counts(report, 200))

    assert_safe(html)
    assert "50 findings in 50 of 200 trees (25.0%), 30 files." in html
    assert html.count("<svg") == 3
    assert "10 more files" in html
    assert "<mark>c</mark>" in html
    assert html.index("00.trees") < html.index("19.trees")
    assert "20.trees" not in html


def test_check_writes_a_report(tmp_path: Path) -> None:
    rows = ["utterance\ttree\tannotator", "play\t(A(B(play)))\tanna", "play\t(A(B(play)) it)\tben", "x\t(A(x)\tben"]
    batch = write(tmp_path / "a.tsv", "\n".join(rows) + "\n")
    page = tmp_path / "report.html"
    result = run("check", batch, "--ignore", "E4", "--report", page)

    assert result.exit_code == 1 and "error[E101]" in result.stdout
    html = page.read_text("utf-8")
    assert_safe(html)
    assert "3 findings in 2 of 3 trees (66.7%), 1 file." in html
    assert re.search(r"<td>ben</td><td class=\"number\">2</td><td class=\"number\">3</td>", html)
    assert {'id="E101"', 'id="E108"', 'id="E301"'} <= set(re.findall(r'id="E\d+"', html))


def test_show(tmp_path: Path) -> None:
    text = "(PlayMusicIntent(MediaType(music)))"
    file = tmp_path / "tree.svg"
    result = run("show", text, "--svg", file)
    assert (result.exit_code, result.stdout) == (0, "")
    assert file.read_text("utf-8") == svg(parse(text))
    batch = write(tmp_path / "a.tsv", f"play <b>music</b>\t{text}\nplay\t{text}\n")
    assert run("show", batch, "--svg", file).exit_code == 2
    page = tmp_path / "a.html"
    assert run("show", batch, "--html", page).exit_code == 0
    html = page.read_text("utf-8")
    assert_safe(html)
    assert html.count("<svg") == 2 and "play &lt;b&gt;music&lt;/b&gt;" in html
    assert run("show", text, "--svg", file, "--html", page).exit_code == 2
    assert run("show", text, "--layout", "up").exit_code == 2
