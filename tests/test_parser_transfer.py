"""One network over many domains, selections of rows, and fine-tuning."""

from __future__ import annotations

import dataclasses
from itertools import product

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from parsing import rows, setup_of, table_of, tiny, write_shards

from grammar.shard import ShardError, write_table
from parser.batch import Examples
from parser.checkpoint import CheckpointError, load_model
from parser.confidence import calibrated
from parser.config import Config, ConfigError, DataConfig, from_dict
from parser.domains import of_domain, on_average
from parser.evaluate import Searchers
from parser.loader import Loader
from parser.order import drawn_of
from parser.remote import Remote
from parser.selection import Selection, source_of
from parser.source import Source
from parser.train import make_setup, train
from parser.transfer import overlap, parts_of, take_over


def of_domains(count=40):
    """The rows of the invented world, by what they ask for."""
    data = rows(count)
    for row in data:
        row["domain"] = row["symbols"][0]
    return data


def with_domains(flavour, **changes):
    data = of_domains()
    setup = setup_of(data, tiny(domains=flavour, domain_dim=5, **changes))
    torch.manual_seed(3)
    return setup, setup.build().eval(), data


@pytest.mark.parametrize("flavour", ["shared", "ter", "both"])
@pytest.mark.parametrize("encoder_layers", [1, 2])
def test_the_model_of_one_domain_is_the_model_given_that_domain(flavour, encoder_layers):
    setup, model, data = with_domains(flavour, encoder_layers=encoder_layers)
    assert len(setup.vocab.domains) == 3
    for domain in setup.vocab.domains:
        mine = [row for row in data if row["domain"] == domain]
        batch = Examples(table_of(mine), setup.vocab, setup.ontology).batch(range(len(mine)))
        plain = of_domain(model, setup.vocab, domain)

        assert plain.domains is None and plain.encoder.domain is None
        torch.testing.assert_close(plain(batch), model(batch))


@pytest.mark.parametrize("flavour", ["shared", "ter", "both"])
def test_a_domain_writes_only_what_its_rows_hold(flavour):
    setup, model, data = with_domains(flavour)
    utterances = [row["words"] for row in data]
    for domain in setup.vocab.domains:
        known = {setup.vocab.symbol_name(s) for s in setup.vocab.symbols_of[setup.vocab.domain(domain)]}
        for parse in Searchers(model, setup.vocab).parse(utterances, [domain] * len(utterances)):
            assert {node.label for node in parse.tree.walk()} <= known
            made = [w for w, at in zip(parse.tree.words(), parse.positions, strict=True) if at < 0]
            assert set(made) <= known


def test_flavours_share_what_they_should():
    _, shared, _ = with_domains("shared")
    _, ter, _ = with_domains("ter")
    setup, both, _ = with_domains("both")

    assert not hasattr(shared.domains, "weight_DOH")
    assert ter.domains.weight_DOH.shape[:2] == (3, len(setup.vocab.lexicon))
    assert both.domains.weight_DOH.shape[:2] == (3, setup.vocab.symbols)


def test_an_unknown_domain_is_named():
    setup, model, _ = with_domains("shared")

    with pytest.raises(KeyError, match=r"no domain `golf`; give one of AddToListIntent, PlayMusicIntent, and"):
        of_domain(model, setup.vocab, "golf")


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=200),
    st.sampled_from([1.0, 2.0, 5.0, 1e6]),
    st.integers(0, 9),
)
def test_sampling_draws_as_many_in_the_wanted_shares(domains, temperature, seed):
    domains = np.array(domains)
    drawn = drawn_of(domains, temperature, (seed,))
    sizes = np.bincount(domains).astype(float)
    share = np.where(sizes > 0, np.maximum(sizes, 1) ** (1 / temperature), 0)
    counts = np.bincount(domains[drawn], minlength=len(sizes))

    assert len(drawn) == len(domains)
    assert np.abs(counts - share / share.sum() * len(domains)).max() <= 1
    for domain in range(len(sizes)):
        times = np.bincount(drawn[domains[drawn] == domain], minlength=len(domains))[domains == domain]
        assert not len(times) or times.max() - times.min() <= 1, "every row as often as others of its domain"


@pytest.mark.parametrize("flavour", ["none", "shared"])
def test_domains_are_sampled_whether_or_not_the_model_is_told_them(tmp_path, flavour):
    write_shards(tmp_path / "s", train=60)
    data = DataConfig(by="intent")
    seen = []
    for temperature in (1.0, 1e6):
        changes = tiny(domains=flavour).to_dict()
        config = from_dict(
            changes | {"data": {"by": "intent"}, "train": changes["train"] | {"temperature": temperature}}
        )
        source = Selection(tmp_path / "s", data)
        loader = Loader(source, make_setup(source, config))
        domains = np.array([row["domain"] for row in source.rows("train")])
        _, steps = loader._laid_out(loader.pools(0)[0], (1, 0, 0), 0)
        drawn = np.concatenate([rows for _, parts in steps for rows in parts])
        seen.append(np.unique(domains[drawn], return_counts=True)[1])
    assert seen[0].tolist() == np.unique(domains, return_counts=True)[1].tolist()
    assert seen[0].max() - seen[0].min() > 1 and seen[1].max() - seen[1].min() <= 1


def test_a_domain_that_test_lacks_can_be_trained_on(tmp_path):
    shards = write_shards(tmp_path / "s")
    [path] = shards.glob("test-*.parquet")
    table = pq.read_table(path)
    write_table(
        table.take([i for i, symbols in enumerate(table["symbols"].to_pylist()) if symbols[0] != "PlayMusicIntent"]),
        path,
    )
    one = Selection(shards, DataConfig(by="intent", only=("PlayMusicIntent",)))

    assert set(one.manifest.splits) == {"train", "dev"} and list(one.rows("dev"))
    with pytest.raises(ShardError, match="no row of `test` is left"):
        list(one.rows("test"))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"))


def ids(source):
    return [row["id"] for row in source.rows("train")]


def test_a_selection_holds_few_rows_of_each_domain(shards):
    few = Selection(shards, DataConfig(by="intent", rows=5))
    more = Selection(shards, DataConfig(by="intent", rows=9))
    one = Selection(shards, DataConfig(by="intent", only=("PlayMusicIntent",), rows=5))
    rest = Selection(shards, DataConfig(by="intent", without=("PlayMusicIntent",)))

    assert few.domains("train") == ["AddToListIntent", "PlayMusicIntent", "and"]
    assert len(ids(few)) == few.manifest.splits["train"] == 15
    assert set(ids(few)) < set(ids(more))
    assert set(ids(one)) < set(ids(few)) and one.domains("dev") == ["PlayMusicIntent"]
    assert one.ontology().roots == {"PlayMusicIntent"} or list(one.ontology().roots) == ["PlayMusicIntent"]
    assert rest.domains("train") == ["AddToListIntent", "and"] and "PlayMusicIntent" in rest.domains("dev")
    prints = {s.manifest.fingerprint for s in (few, more, one, rest, Source(shards))}
    assert len(prints) == 5
    assert type(source_of(shards, DataConfig())) is Source


def test_dev_may_join_train_for_the_last_run(shards, tmp_path):
    both = Selection(shards, DataConfig(join_dev=True))
    dev = [row["id"] for row in both.rows("dev")]

    assert ids(both) == ids(Source(shards)) + dev and dev
    assert both.manifest.splits["train"] == len(ids(both))
    settings = from_dict(tiny().to_dict() | {"data": {"join_dev": True}})
    best = train(shards, tmp_path / "run", settings)
    assert best["epoch"] == settings.train.epochs, "dev cannot choose, so the last weights are kept"


def test_a_selection_refuses_a_domain_that_is_not_there(shards):
    with pytest.raises(Exception, match=r"no domain golf; its domains are AddToListIntent, PlayMusicIntent, and"):
        Selection(shards, DataConfig(by="intent", only=("golf",)))
    with pytest.raises(Exception, match=r"no domain golf; its domains are AddToListIntent, PlayMusicIntent, and"):
        Selection(shards, DataConfig(by="intent", without=("and", "golf")))
    with pytest.raises(ConfigError, match=r"`data.by` must be one of domain, corpus, intent"):
        from_dict({"data": {"by": "colour"}})


def test_taking_over_goes_by_name():
    data = rows(60)
    older_setup = setup_of(data, tiny())
    mine = [row for row in data if row["symbols"][0] == "PlayMusicIntent"]
    setup = setup_of(mine, tiny())
    torch.manual_seed(1)
    older, model = older_setup.build(), setup.build()
    take_over(model, setup.vocab, older, older_setup.vocab)

    for label in setup.vocab.labels:
        here, there = setup.vocab.label(label), older_setup.vocab.label(label)
        assert torch.equal(model.symbols.weight[here], older.symbols.weight[there])
        assert torch.equal(model.embed.weight[here], older.embed.weight[there])
    word, other = setup.vocab.word("play"), older_setup.vocab.word("play")
    assert torch.equal(model.encoder.embed.weight[word], older.encoder.embed.weight[other])
    assert torch.equal(model.hidden.weight, older.hidden.weight)
    # The other way round there are labels that the smaller model does not know.
    torch.manual_seed(2)
    fresh = older_setup.build()
    before = fresh.symbols.weight.clone()
    take_over(fresh, older_setup.vocab, model, setup.vocab)
    new = older_setup.vocab.label("AddToListIntent")
    assert torch.equal(fresh.symbols.weight[new], before[new])


FLAVOURS = ["none", "shared", "ter", "both"]


@pytest.mark.parametrize(
    ("before", "flavour"),
    # Where domains share a layer that each had for itself, its mean does not do what they did.
    sorted({*product(FLAVOURS, FLAVOURS)} - {("ter", "shared"), ("both", "shared"), ("both", "ter")}),
)
def test_what_was_taken_over_does_what_it_did(before, flavour):
    older_setup, older, data = with_domains(before)
    setup, model, _ = with_domains(flavour)
    torch.manual_seed(4)
    model = setup.build().eval()
    take_over(model, setup.vocab, older, older_setup.vocab)
    if before == "none" and flavour != "none":
        model.domains.foreign_DS.zero_()  # the older one has no domain, so it may write anything
    if before != "none" and flavour == "none":
        older = on_average(older, older_setup.vocab)
    mine, theirs = (
        Examples(table_of(data), one.vocab, one.ontology).batch(range(len(data))) for one in (setup, older_setup)
    )

    torch.testing.assert_close(model(mine), older(theirs))


def test_a_domain_takes_its_own_layer_and_a_new_one_the_mean():
    older_setup, older, data = with_domains("ter", lexicon_min=1)
    known = [row for row in data if row["domain"] != "and"]
    renamed = [row | {"domain": "golf" if row["domain"] == "AddToListIntent" else row["domain"]} for row in known]
    setup = setup_of(renamed, tiny(domains="ter", domain_dim=5, lexicon_min=1))
    model = setup.build()
    take_over(model, setup.vocab, older, older_setup.vocab)
    number, there = setup.vocab.domain("PlayMusicIntent"), older_setup.vocab.domain("PlayMusicIntent")
    held = [older_setup.vocab.symbol_name(symbol) for symbol in older_setup.vocab.symbols_of[there]]
    words = [word for word in setup.vocab.lexicon if word in older_setup.vocab.lexicon]
    mean = on_average(older, older_setup.vocab).symbols.weight

    assert set(words) & set(held) and set(words) - set(held)
    for word in words:
        row = setup.vocab.lexicon.index(word)
        own = older.domains.weight_DOH[there, older_setup.vocab.lexicon.index(word)]
        average = mean[older_setup.vocab.lexical(word)]
        torch.testing.assert_close(model.domains.weight_DOH[number, row], own if word in held else average)
        torch.testing.assert_close(model.domains.weight_DOH[setup.vocab.domain("golf"), row], average)
    shared = older.encoder.domain.weight[there]
    torch.testing.assert_close(model.encoder.domain.weight[number], shared)


def test_taking_over_refuses_other_widths():
    data = rows(30)
    a, b = setup_of(data, tiny()), setup_of(data, tiny(decoder_hidden=16))

    with pytest.raises(CheckpointError, match=r"same settings in \[model\].* it has model.decoder_hidden=\d+, here 16"):
        take_over(b.build(), b.vocab, a.build(), a.vocab)
    c = setup_of(data, tiny(pooled=True))
    with pytest.raises(CheckpointError, match=r"model.pooled=False, here True"):
        take_over(c.build(), c.vocab, a.build(), a.vocab)
    with pytest.raises(CheckpointError, match=r"model.pooled=True, here False"):
        take_over(a.build(), a.vocab, c.build(), c.vocab)


def test_copying_may_be_new_or_left_out():
    data = rows(30)
    copies, does_not = setup_of(data, tiny()), setup_of(data, tiny(copy=False))
    torch.manual_seed(1)
    older, other = copies.build(), does_not.build()
    fresh = copies.build()
    pointer = fresh.pointer.weight.clone()
    take_over(fresh, copies.vocab, other, does_not.vocab)
    assert torch.equal(fresh.pointer.weight, pointer) and torch.equal(fresh.hidden.weight, other.hidden.weight)
    take_over(other, does_not.vocab, older, copies.vocab)
    assert torch.equal(other.hidden.weight, older.hidden.weight)


def test_fine_tuning_starts_from_the_other_model_and_freezes_what_it_should(shards, tmp_path):
    first = tiny()
    only = dataclasses.replace(first, data=DataConfig(by="intent", only=("AddToListIntent",)))
    train(shards, tmp_path / "first", only)
    frozen = dataclasses.replace(
        first,
        data=DataConfig(by="intent", only=("PlayMusicIntent",)),
        train=dataclasses.replace(first.train, encoder_rate=0.0, decoder_rate=0.5),
    )
    train(shards, tmp_path / "second", frozen, init=tmp_path / "first")

    (one_setup, one, _), (two_setup, two, _) = (load_model(tmp_path / name) for name in ("first", "second"))
    assert one_setup.vocab.words == two_setup.vocab.words, "a frozen encoder reads a new word as unknown"
    assert torch.equal(one.encoder.embed.weight, two.encoder.embed.weight)
    assert torch.equal(one.encoder.forwards[0].weight_hh_l0, two.encoder.forwards[0].weight_hh_l0)
    assert not torch.equal(one.hidden.weight, two.hidden.weight)
    shares = {part["share"] for part in parts_of(two, two_setup.config.train)}
    assert shares == {0.5, 1.0}
    third = dataclasses.replace(frozen, train=dataclasses.replace(frozen.train, encoder_rate=0.1))
    train(shards, tmp_path / "third", third, init=tmp_path / "first")
    words = load_model(tmp_path / "third")[0].vocab.words
    assert set(one_setup.vocab.words) < set(words), "words of the first stay known, beside new ones"
    with pytest.raises(ConfigError, match=r"freezes an encoder that knows nothing; give --init"):
        train(shards, tmp_path / "fourth", frozen)


def test_overlap_is_the_shares_of_labels_and_of_words_that_the_other_has():
    def vocab(*names):
        return setup_of([row for row in data if row["symbols"][0] in names], tiny()).vocab

    data = rows(60)
    music, shopping, both = (
        vocab("PlayMusicIntent"),
        vocab("AddToListIntent"),
        vocab("PlayMusicIntent", "AddToListIntent"),
    )
    words = len(set(shopping.words[2:]) & set(music.words[2:])) / len(music.words[2:])
    labels = len(set(shopping.labels) & set(music.labels)) / len(music.labels)

    assert overlap(music, music) == overlap(music, both) == 2
    assert overlap(music, shopping) == pytest.approx(labels + words)
    assert labels + words < 1
    assert overlap(both, music) < 2, "it is the target's words that count"


def test_a_model_over_domains_trains_and_is_scored_by_domain(shards, tmp_path):
    import parser
    from parser.evaluate import evaluate

    config = from_dict({**tiny(domains="ter").to_dict(), "data": {"by": "intent"}})
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, temperature=3.0, epochs=6))
    train(shards, tmp_path / "m", config)
    setup, model, _ = load_model(tmp_path / "m")
    source = source_of(shards, setup.config.data)
    figures = evaluate(model, setup.vocab, setup.ontology, setup.values, source.rows("test"))

    assert {"domain AddToListIntent", "domain PlayMusicIntent", "domain and"} <= set(figures["slices"])
    assert figures["exact_match"] > 0.3
    utterances = [row["words"] for row in source.rows("test")]
    texts, search = [" ".join(words) for words in utterances], Searchers(model, setup.vocab)

    def trees(parses):
        return [parse.tree for parse in parses]

    want = {one: trees(search.parse(utterances, [one] * len(utterances))) for one in setup.vocab.domains}
    for domain in setup.vocab.domains:
        assert trees(parser.load(tmp_path / "m", domain=domain).parse_many(texts)) == want[domain]
        both = parser.load([tmp_path / "m", tmp_path / "m"], domain=domain)
        assert trees(both.parse_many(texts)) == want[domain]
    assert len({str(found) for found in want.values()}) == 3, "what the domain is makes a difference"
    remote = Remote(tmp_path / "m", "cpu", 1, "AddToListIntent")
    try:
        assert trees(remote.parse_many(utterances)) == want["AddToListIntent"]
    finally:
        remote.close()
    with pytest.raises(CheckpointError, match="give the domain, one of AddToListIntent, PlayMusicIntent, and"):
        parser.load(tmp_path / "m")
    golf = [row | {"domain": "golf"} for row in source.rows("test")]
    with pytest.raises(ShardError, match=r"the domain golf, .* it knows AddToListIntent, PlayMusicIntent, and: give"):
        evaluate(model, setup.vocab, setup.ontology, setup.values, golf)
    setup.config = dataclasses.replace(setup.config, data=DataConfig())  # the rows have no domain of their own
    with pytest.raises(ShardError, match=r"the domain \(none\), which the model does not know"):
        calibrated([(setup, model)], shards)


def test_a_model_over_domains_refuses_a_dev_that_has_more(shards, tmp_path):
    settings = tiny(domains="shared").to_dict() | {"data": {"by": "intent", "without": ["PlayMusicIntent"]}}
    with pytest.raises(ConfigError, match=r"dev has the domains PlayMusicIntent, which train lacks"):
        train(shards, tmp_path / "run", from_dict(settings))


def test_domains_are_refused_where_rows_have_none(shards, tmp_path):
    with pytest.raises(ConfigError, match=r"model.domains=ter needs rows of two domains .* train has ``: give data"):
        train(shards, tmp_path / "run", tiny(domains="ter"))
    one = {"data": {"by": "intent", "only": ["PlayMusicIntent"]}}
    with pytest.raises(ConfigError, match=r"train has `PlayMusicIntent`: give data.by=corpus"):
        train(shards, tmp_path / "run", from_dict(tiny(domains="shared").to_dict() | one))


def test_settings_of_data_survive_json():
    config = from_dict({"data": {"only": ["a", "b"]}})

    assert config.data.only == ("a", "b")
    assert from_dict(config.to_dict()) == config != Config()
