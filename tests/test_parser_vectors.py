"""Static word vectors: both forms of file, and what a model makes of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from parsing import tiny, write_shards
from safetensors.torch import load_file

from parser.checkpoint import WEIGHTS, Setup, load_model
from parser.config import ConfigError
from parser.train import train
from parser.vectors import put_vectors, read

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
