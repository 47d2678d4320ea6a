"""What is written is read again: the losses that a format declares are those that it has, no more and no fewer."""

import json
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import trees
from typer.testing import CliRunner

from grammar import shard
from pipelines.__main__ import app
from pipelines.export import _read, same
from pipelines.formats import FORMATS, expand
from pipelines.formats.features import FEATURES, FIELDS, Unwritable, features, flattened, tree_of
from pipelines.formats.recognise import recognise
from pipelines.record import Example, SlotSpan, Utterance
from pipelines.trees import clause, to_example

WRITTEN = [(name, variant) for name, row in FORMATS.items() if row.writer for variant in row.writer.variants]


def row(text, tree, positions, words=None, **fields):
    words = words or text.split()
    made = to_example(
        Utterance("ours", "a.x", 1, "train", text, words, [], [], tree=tree, positions=positions, **fields)
    )
    assert isinstance(made, Example), made
    return made


WITNESSES = {
    "domain": [row("play jazz", "(Play(genre(jazz)))", [1], domain="music")],
    "locale": [row("play jazz", "(Play(genre(jazz)))", [1], locale="en-US")],
    "raw text": [row("jazz, please", "(Play(genre(jazz)))", [0], ["jazz", ",", "please"])],
    "other text": [row("Play Jazz", "(Play(genre(jazz)))", [1], ["play", "jazz"])],
    "given words": [row("wake me at nine a.m.", "(Wake(time(nine)(a.m.)))", [3, 4])],
    "blanks in words": [
        row("to New Port", "(Go(city(New\\ Port)))", [1], ["to", "New Port"]),
        row("to  Port", "(Go(city(\\ Port)))", [1], ["to", " Port"]),
    ],
    "clauses": [
        row("jazz and dim lamps", "(and(Play(genre(jazz)))(Dim(thing(lamps))))", [0, 3]),
        row("jazz and soul and funk", "(and(Play(g(jazz))(g(soul)))(Stop(g(funk))))", [0, 2, 4]),
    ],
    "joined labels": [row("play jazz", "(Play#Stop(genre(jazz)))", [1])],
    "nested slots": [row("to Oslo", "(Go(stop(city(Oslo))))", [1])],
    "mixed slots": [row("go to Oslo", "(IN:GO(SL:STOP(to)(IN:FIND(SL:CITY(Oslo)))))", [1, 2])],
    "coordinated values": [row("figs and dates", "(Add(add(item(figs))(item(dates))))", [0, 2])],
    "functions": [
        row("jazz or soul", "(Play(and(genre(jazz))(genre(soul))))", [0, 2]),
        row("jazz or soul", "(and(jazz)(soul))", [0, 2]),
    ],
    "generated words": [row("play it", "(Play(genre(rock)))", [-1])],
    "empty slots": [row("play it", "(Play(genre()))", [])],
    "scattered slots": [
        row("turn it off", "(Do(act(turn)(off)))", [0, 2]),
        row("calm jazz", "(Play(genre(jazz))(mood(calm)))", [1, 0]),
    ],
    "words of intents": [row("play jazz", "(Play(jazz))", [1])],
    "marks in text": [
        row("play [ jazz ] ( live ) { x }", "(Play(genre(jazz)))", [2]),
        row("see [x](y) now", "(See())", [], ["see", "[", "x](y", ")", "now"]),
        row("#intent:x is odd", "(Play(genre(#intent:x)))", [0]),
    ],
    "odd labels": [row("play jazz", f"(Play(a{mark}b(jazz)))", [1]) for mark in ":/-!@<>=+*?'$%."]
    + [row("play jazz", f"(Pl{mark}ay(b(jazz)))", [1]) for mark in ":/-!@<>=+*?'$%."],
    "no slots": [row("stop", "(Halt())", [])],
}


def there_and_back(name, variant, rows, folder):
    """For each row, in the order written: the row, and what came back or why it was not written."""
    fmt = FORMATS[name]
    if fmt.writer.grouped:
        rows = sorted(rows, key=lambda row: row.symbols[0])
    written, found = [], []
    for given_ in rows:
        try:
            written.append((given_, fmt.writer.record(given_, variant)))
        except Unwritable as error:
            found.append((given_, error))
    path = fmt.writer.save((record for _, record in written), folder, "train", variant)
    if fmt.writer.finish:
        fmt.writer.finish(folder)
    back = [to_example(read) if isinstance(read, Utterance) else read for read in _read(fmt, path)]
    assert len(back) == len(written), back
    return found + [(given_, made) for (given_, _), made in zip(written, back, strict=True)]


@pytest.mark.parametrize("feature", FEATURES)
def test_every_feature_has_a_witness(feature):
    own = {"marks in text", "odd labels"}  # only a writer knows these
    assert all(feature in own or feature in features(witness) for witness in WITNESSES[feature])


@pytest.mark.parametrize("name", dict(WRITTEN))
def test_a_format_loses_what_it_says_and_nothing_else(name, tmp_path):
    lost, loses = set(), FORMATS[name].loses
    for variant in FORMATS[name].writer.variants:
        for feature, witnesses in WITNESSES.items():
            for number, witness in enumerate(witnesses):
                ((_, back),) = there_and_back(name, variant, [witness], tmp_path / f"{variant}{feature}{number}")
                excused = feature not in loses and features(witness) & loses.keys()  # mixed slots are nested slots
                if not (isinstance(back, Example) and same(witness, back)) and not excused:
                    lost.add(feature)

    assert set(loses) == lost


UGLY = [
    "a",
    "jazz",
    "and",
    ",",
    "it's",
    "a.m.",
    "(",
    "[",
    "]",
    "{",
    "}",
    ")",
    "#",
    "\\",
    "\\]",
    ":",
    "|",
    "'",
    '"',
    "Café",
    "🍕",
    "音乐",
    "-",
    "O",
    "~",
    "yes",
    "1",
    "null",
    "\u00a0x",
    "New Port",
    "<b>",
    "&amp;",
    "%",
    "@x:y",
    "\u2028",
    "\x85",
    "\ufeff",
    "=",
    "!",
    "- a",
    ";",
]
LABELS = st.sampled_from(["PlayMusic", "genre", "from.city", "IN:GET", "SL:TIME", "a/b", "x", "B-x", "No", "1", "a+b"])


@st.composite
def tagged_rows(draw):
    words = draw(st.lists(st.sampled_from(UGLY), min_size=1, max_size=6))
    gap = draw(st.sampled_from(["", " ", "  "]))
    text = draw(st.sampled_from([" ".join(words), gap.join(words)]))
    cuts = sorted(draw(st.sets(st.integers(0, len(words)), max_size=4)))
    spans = [SlotSpan(a, b, draw(LABELS)) for a, b in pairwise(cuts) if draw(st.sampled_from([1, 1, 0]))]
    tree, positions = clause(draw(LABELS), spans, words)
    fields = {"domain": draw(st.sampled_from(["", "", "home"])), "locale": draw(st.sampled_from(["", "", "de"]))}
    made = to_example(
        Utterance("ours", "a.x", 1, "train", text, words, [], [], tree=str(tree), positions=positions, **fields)
    )
    return made if isinstance(made, Example) else None


@st.composite
def tree_rows(draw):
    tree = draw(trees(label=LABELS | st.sampled_from(["and", "add"]), word=st.sampled_from(UGLY)))
    words = tree.words() or ["x"]
    positions = list(range(len(tree.words())))
    if draw(st.booleans()):
        words, positions = ["well", *words, "now"], [place + 1 for place in positions]
    made = to_example(
        Utterance("ours", "a.x", 1, "train", " ".join(words), words, [], [], tree=str(tree), positions=positions)
    )
    return made if isinstance(made, Example) else None


ROWS = (tagged_rows() | tree_rows()).filter(bool)


@pytest.mark.parametrize("name, variant", WRITTEN)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(ROWS, min_size=1, max_size=6))
def test_what_is_written_is_read_again(name, variant, tmp_path_factory, rows):
    loses = FORMATS[name].loses
    for given_, back in there_and_back(name, variant, rows, tmp_path_factory.getbasetemp() / f"{name}-{variant}"):
        if isinstance(back, Unwritable):
            assert back.feature in loses, (given_, back)
        elif not (features(given_) & loses.keys()) - FIELDS.keys():
            assert isinstance(back, Example), (given_, back)
            assert same(given_, back, features(given_) & loses.keys()), (given_, back)


@settings(max_examples=60, deadline=None)
@given(given_=ROWS)
def test_flattened_is_the_inverse_of_clause(given_):
    try:
        found = flattened(given_)
    except Unwritable:
        return
    if "coordinated values" not in features(given_):
        made = [clause(*parts, given_.words) for parts in zip(*found, strict=True)]
        text = str(made[0][0]) if len(made) == 1 else f"(and{''.join(str(tree) for tree, _ in made)})"
        assert (given_.tree, tree_of(given_)[1]) == (text, [place for _, places in made for place in places])


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    """A data set with every witness in it, over three splits."""
    import pyarrow as pa

    from pipelines.index import indexed_table

    folder = tmp_path_factory.mktemp("witnesses")
    manifest = shard.Manifest(corpus="ours")
    every = [witness for witnesses in WITNESSES.values() for witness in witnesses]
    for split, rows in (("train", every[:20]), ("dev", every[20:30]), ("test", every[30:])):
        rows = [row_._replace(id=f"ours/a.x:{n}", line=n, split=split) for n, row_ in enumerate(rows)]
        table = indexed_table(pa.Table.from_pylist([row_._asdict() for row_ in rows], schema=shard.ROW_SCHEMA))
        manifest.shards.append(shard.write_table(table, folder / shard.shard_name(split, 0, 1)))
        manifest.splits[split] = len(rows)
    manifest.rows_in = manifest.rows_out = len(every)
    shard.write_text(folder / shard.MANIFEST, manifest.dumps())
    return folder, len(every)


@pytest.mark.parametrize("name, variant", WRITTEN)
def test_export_accounts_for_every_row(name, variant, data_set, tmp_path):
    folder, rows = data_set
    out = tmp_path / "out"
    done = CliRunner().invoke(
        app,
        ["export", "--format", name, "--shards", str(folder), "--output", str(out), "--variant", variant, "--json"],
    )
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)

    assert report["unexplained"] == []
    assert rows == report["rows"] == report["written"] + sum(report["refused"].values())
    assert report["written"] == report["kept"] + sum(report["changed"].values())
    letters = [json.loads(line) for line in (out / "refused.jsonl").read_text("utf-8").splitlines()]
    assert sum(report["refused"].values()) == len(letters)
    assert {*report["refused"], *report["changed"], *report["dropped"]} <= FORMATS[name].loses.keys()
    assert not [source for source in expand([str(out)], name) if source.file == "refused.jsonl"]
    assert {verdict.format for verdict in recognise([str(out)], FORMATS.values())} - {""} == {name}


def test_export_says_what_it_cannot_do(data_set, tmp_path):
    def run(*words):
        return CliRunner().invoke(
            app, ["export", "--shards", str(data_set[0]), "--output", str(tmp_path / "o"), *words]
        )

    assert run("--format", "brackets").exit_code == 0
    assert "give `--overwrite`" in run("--format", "brackets").stderr
    assert run("--format", "bio", "--overwrite").exit_code == 0
    assert "unknown format `csv`" in run("--format", "csv").stderr
    assert "has no variant `iob3`" in run("--format", "bio", "--variant", "iob3", "--overwrite").stderr
