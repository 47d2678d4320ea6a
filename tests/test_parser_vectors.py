"""Static word vectors: both forms of file, and what a model makes of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from parsing import rows, setup_of, table_of, tiny, world, write_shards
from safetensors.torch import load_file
from test_parser_decode import same

from parser import Parser
from parser.batch import make_input
from parser.checkpoint import WEIGHTS, Setup, load_model
from parser.config import ConfigError
from parser.decode import Search
from parser.evaluate import evaluate
from parser.quick import Quick
from parser.selection import source_of
from parser.train import make_setup, train
from parser.transfer import overlap, take_over
from parser.vectors import SPREAD, put_vectors, read, read_vectors
from parser.vocab import UNK, Counts, build_vocab

TEXT = "jazz 0.5 -1 2\nOat 1e-3 0 0\nplay 1 1 1\n"


def binary(words, table):
    lines = [word.encode() + b" " + row.astype("<f4").tobytes() for word, row in zip(words, table, strict=True)]
    return f"{len(words)} {table.shape[1]}\n".encode() + b"\n".join(lines) + b"\n"


def test_text_with_and_without_a_head(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "b.txt").write_text("3 3\n" + TEXT)
    for name in ("a.txt", "b.txt"):
        found = read(tmp_path / name)
        assert found.words == ["jazz", "oat", "play"]
        assert found.table[0].tolist() == [0.5, -1, 2]
    assert read(tmp_path / "a.txt", most=2).words == ["jazz", "oat"]
    assert read(tmp_path / "a.txt", lowercase=False).words[1] == "Oat"


LETTERS = st.characters(exclude_characters=" \n", exclude_categories=["Cs"])


@given(
    st.lists(st.text(LETTERS, min_size=1).map(str.lower), min_size=1, unique=True),
    st.integers(2, 40),
    st.integers(0, 5),
)
def test_binary_gives_the_numbers_that_were_written(tmp_path_factory, words, width, seed):
    table = np.random.default_rng(seed).normal(size=(len(words), width)).astype(np.float32)
    path = tmp_path_factory.mktemp("v") / "v.bin"
    path.write_bytes(binary(words, table))
    found = read(path, lowercase=False)

    assert found.words == words
    assert np.array_equal(found.table, table)


def test_broken_files_are_named(tmp_path):
    (tmp_path / "short.bin").write_bytes(binary(["a", "b"], np.ones((2, 4)))[:-12])
    (tmp_path / "odd.txt").write_text("a 1 2 3\nb 1 2\n")
    (tmp_path / "none.txt").write_text("")
    for name, message in [
        ("short.bin", "ends at word 2 of 2"),
        ("odd.txt", r"odd\.txt:2: "),
        ("none.txt", "no vector"),
        ("missing", "cannot read"),
    ]:
        with pytest.raises(ConfigError, match=message):
            read(tmp_path / name)


def test_training_starts_from_vectors_and_knows_their_words(tmp_path):
    shards = write_shards(tmp_path / "shards")
    words = ["jazz", "samba", "add"]
    table = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    (tmp_path / "v.bin").write_bytes(binary(words, table))
    config = tiny()
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, vectors=str(tmp_path / "v.bin")))
    train(shards, tmp_path / "m", config)
    setup, model, _ = load_model(tmp_path / "m")

    assert setup.vocab.word("samba") > 1
    put = torch.from_numpy(table[1]) * (config.model.word_init / torch.from_numpy(table).std())
    torch.testing.assert_close(model.encoder.embed.weight[setup.vocab.word("samba")], put, msg="never trained, so kept")
    fresh = setup.build()
    put_vectors(fresh, setup.vocab, read(tmp_path / "v.bin"))
    started = fresh.encoder.embed.weight.detach()[[setup.vocab.word(word) for word in words]]
    assert float(started.std()) == pytest.approx(0.1, rel=0.01)
    # Fine-tuned, the words that the older model knows keep what they learned, the others start from their vectors.
    train(shards, tmp_path / "older", tiny())
    train(shards, tmp_path / "tuned", config, init=tmp_path / "older", stop_after=1)
    (older_setup, older, _), tuned_setup = load_model(tmp_path / "older"), Setup.load(tmp_path / "tuned")
    tuned = tuned_setup.build().requires_grad_(False)
    tuned.load_state_dict(load_file(tmp_path / "tuned" / "last" / WEIGHTS))
    assert older_setup.vocab.word("samba") == 1
    torch.testing.assert_close(tuned.encoder.embed.weight[tuned_setup.vocab.word("samba")], put)
    jazz = older.encoder.embed.weight.detach()[older_setup.vocab.word("jazz")]
    assert float((tuned.encoder.embed.weight[tuned_setup.vocab.word("jazz")] - jazz).abs().max()) < 0.05
    wide = dataclasses.replace(config, model=dataclasses.replace(config.model, word_dim=9))
    with pytest.raises(ConfigError, match=r"set model.word_dim=8"):
        train(shards, tmp_path / "n", wide)


def counted(data):
    counts = Counts()
    counts.add(table_of(data))
    return counts


def with_vectors(tmp_path, words, width=5, **changes):
    """(config whose static vectors these words have, their numbers)."""
    table = np.random.default_rng(1).normal(size=(len(words), width)).astype(np.float32)
    (tmp_path / "v.bin").write_bytes(binary(words, table))
    config = tiny(static_dim=width, **changes)
    return dataclasses.replace(config, train=dataclasses.replace(config.train, vectors=str(tmp_path / "v.bin"))), table


def test_static_vectors_stand_beside_the_embeddings_and_are_never_changed(tmp_path):
    shards = write_shards(tmp_path / "shards")
    config, table = with_vectors(tmp_path, ["jazz", "samba", "add"])
    train(shards, tmp_path / "m", config)
    setup, model, _ = load_model(tmp_path / "m")

    vocab, encoder = setup.vocab, model.encoder
    jazz, samba = vocab.word("jazz"), vocab.word("samba")
    assert len(encoder.embed.weight) == vocab.learned == len(vocab.words) - 1, "only samba has no embedding"
    assert 1 < jazz < vocab.learned <= samba
    static = torch.from_numpy(table) * (SPREAD / torch.from_numpy(table).std())
    assert torch.equal(encoder.static[[jazz, samba, vocab.word("add")]], static)
    assert encoder.static.count_nonzero() == static.count_nonzero(), "other words have none"
    assert not any(name == "encoder.static" for name, _ in model.named_parameters())

    # A word with a vector only is read by it, and otherwise as unknown.
    parser = Parser(setup, model)
    words = ["add", "samba", "to", "zumba"]
    same(parser.parse(words), parser.search.search.parse([words])[0])
    with torch.no_grad():
        before = encoder(make_input([words], vocab))[0]
        encoder.static[samba] += 1
        changed = (encoder(make_input([words], vocab))[0] - before).abs().amax(-1)[0]
        encoder.embed.weight[1] += 1
        unknown = (encoder(make_input([["samba"]], vocab))[0], encoder(make_input([["jazz"]], vocab))[0])
        encoder.embed.weight[1] -= 1
    assert (changed > 0).all(), "every state has read it"
    assert not torch.equal(unknown[0], encoder(make_input([["samba"]], vocab))[0])
    assert torch.equal(unknown[1], encoder(make_input([["jazz"]], vocab))[0])


def test_a_word_that_has_a_vector_only_counts_as_unknown_in_slices():
    setup, model, _, data = world(static_dim=4)
    figures = evaluate(model, setup.vocab, setup.ontology, setup.values, data)
    met = [all(setup.vocab.word(word) < setup.vocab.learned for word in row["words"]) for row in data]
    slices = {name: figures["slices"][name]["n"] for name in ("all words known", "unknown word")}
    assert slices == {"all words known": sum(met), "unknown word": len(met) - sum(met)}


def test_fine_tuning_keeps_static_vectors_or_adds_them(tmp_path):
    shards, other = write_shards(tmp_path / "a"), write_shards(tmp_path / "b", seed=5, word="samba")
    config, _ = with_vectors(tmp_path, ["jazz", "samba", "zumba"])
    train(shards, tmp_path / "older", config)
    older_setup, older, _ = load_model(tmp_path / "older")
    assert older_setup.vocab.word("samba") >= older_setup.vocab.learned

    without = dataclasses.replace(config, train=dataclasses.replace(config.train, vectors=""))
    with pytest.raises(ConfigError, match=r"static_dim=5 reads static vectors; give train.vectors=FILE"):
        train(shards, tmp_path / "none", without)
    train(other, tmp_path / "kept", without, init=tmp_path / "older", stop_after=1)
    setup = Setup.load(tmp_path / "kept")
    kept = setup.build()
    kept.load_state_dict(load_file(tmp_path / "kept" / "last" / WEIGHTS))
    assert setup.vocab.word("samba") < setup.vocab.learned, "seen in train now"
    for word in ("jazz", "samba", "zumba"):
        assert torch.equal(
            kept.encoder.static[setup.vocab.word(word)], older.encoder.static[older_setup.vocab.word(word)]
        )

    # A model without them gets them: at first they change nothing.
    train(shards, tmp_path / "plain", tiny())
    plain_setup, plain, _ = load_model(tmp_path / "plain")
    setup = make_setup(source_of(shards, config.data), config, plain_setup.vocab)
    added = setup.build().eval()
    put_vectors(added, setup.vocab, read_vectors(config))
    take_over(added, setup.vocab, plain, plain_setup.vocab)
    words = [["play", "some", "jazz"]]
    with torch.no_grad():
        mine, theirs = (
            added.encoder(make_input(words, setup.vocab)),
            plain.encoder(make_input(words, plain_setup.vocab)),
        )
    torch.testing.assert_close(mine, theirs)
    assert added.encoder.static.any()
    assert overlap(setup.vocab, plain_setup.vocab) == overlap(plain_setup.vocab, setup.vocab) == 2
    wide = dataclasses.replace(config, model=dataclasses.replace(config.model, static_dim=6))
    with pytest.raises(ConfigError, match=r"set model.static_dim=5"):
        train(shards, tmp_path / "n", wide)


def test_an_unknown_number_is_read_by_a_form_that_has_an_embedding_or_as_unknown(tmp_path):
    """Vectors hold forms too, as `0-0` and `0pm`, which training never showed."""
    data = rows(30)
    data[0]["words"][-1] = "7pm"
    setup = setup_of(data, tiny(static_dim=3, digits=True))
    vocab = build_vocab(counted(data), setup.ontology, setup.config.model, extra=["0-0", "5-3", "0pm", "5pm", "0000"])
    assert vocab.words[: vocab.learned].count("0pm") == 1, "of the number that train has once"
    assert [vocab.unknown(word) for word in ("5-3", "0-0", "1291", "0000")] == [UNK] * 4
    assert vocab.unknown("5pm") == vocab.unknown("5PM") == vocab.word("0pm") < vocab.learned <= vocab.word("5PM")

    model = Setup(setup.config, vocab, setup.ontology, setup.values).build().eval()
    torch.nn.init.normal_(model.encoder.static)
    search, quick = Search(model, vocab), Quick(Search(model, vocab))
    words = [["play", word] for word in ("5-3", "0-0", "1291", "0000", "5PM", "5pm", "9PM", "jazz")]
    for one, other in zip(quick.parse(words), search.parse(words), strict=True):
        same(one, other)


def test_names_of_places_are_no_words(tmp_path):
    (tmp_path / "v.txt").write_text("<unk> 1 2\njazz 3 4\n<pad> 5 6\n")
    config = tiny(static_dim=2)
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, vectors=str(tmp_path / "v.txt")))
    found = read_vectors(config)
    assert found.words == ["jazz"] and found.table.tolist() == [[3, 4]]
    data = rows(30)
    data[0]["words"][-1] = "<unk>"
    vocab = build_vocab(counted(data), setup_of(rows(30), tiny()).ontology, config.model, extra=["jazz"])
    assert len(set(vocab.words)) == len(vocab.words) and vocab.word("<unk>") == UNK


def test_vectors_are_not_given_to_a_frozen_encoder_that_never_read_any(tmp_path):
    shards = write_shards(tmp_path / "a")
    config, _ = with_vectors(tmp_path, ["jazz", "samba"])
    frozen = dataclasses.replace(config, train=dataclasses.replace(config.train, encoder_rate=0.0))
    train(shards, tmp_path / "plain", tiny())
    with pytest.raises(ConfigError, match=r"freezes an encoder that reads no static vectors"):
        train(shards, tmp_path / "m", frozen, init=tmp_path / "plain")
    train(shards, tmp_path / "older", config)
    train(shards, tmp_path / "m", frozen, init=tmp_path / "older", stop_after=1)


def test_words_new_to_the_older_model_keep_their_vectors(tmp_path):
    shards = write_shards(tmp_path / "a")
    config, _ = with_vectors(tmp_path, ["jazz"])
    train(shards, tmp_path / "older", config)
    more, _ = with_vectors(tmp_path, ["jazz", "add", "samba"])
    older_setup, older, _ = load_model(tmp_path / "older")
    setup = make_setup(source_of(shards, more.data), more, older_setup.vocab)
    model = setup.build()
    put_vectors(model, setup.vocab, read_vectors(more))
    before = model.encoder.static.clone()
    take_over(model, setup.vocab, older, older_setup.vocab)
    jazz, others = setup.vocab.word("jazz"), [setup.vocab.word("add"), setup.vocab.word("samba")]
    assert torch.equal(model.encoder.static[jazz], older.encoder.static[older_setup.vocab.word("jazz")])
    assert torch.equal(model.encoder.static[others], before[others]) and before[others].any()
