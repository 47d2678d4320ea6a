"""A pretrained transformer as input: its pieces, its sums, and models that hold it."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from parsing import rows, setup_of, table_of, tiny, write_shards
from safetensors.torch import save_file
from torch import nn

import parser
from parser.batch import Examples, make_input
from parser.checkpoint import CheckpointError, load_model
from parser.config import ConfigError, DataConfig
from parser.pretrained import MOST_KEPT, MOST_PIECES, Kept, Pieces, Shape, Transformer, lined_up, read_pieces
from parser.train import train
from parser.transfer import take_over

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "play",
    "ja",
    "##zz",
    "add",
    "salt",
    "and",
    "##s",
    "fig",
    "-",
    "up",
    "cafe",
]
SHAPE = {"width": 12, "heads": 3, "layers": 2, "inner": 20, "places": MOST_PIECES, "pieces": len(PIECES)}


def names_of(layer):
    attention = {"query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value"}
    rest = {"out": "attention.output.dense", "norm_1": "attention.output.LayerNorm", "norm_2": "output.LayerNorm"}
    inner = {"up": "intermediate.dense", "down": "output.dense"}
    return {mine: f"encoder.layer.{layer}.{theirs}" for mine, theirs in (attention | rest | inner).items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as pretrained models come, with weights at random."""
    where = tmp_path_factory.mktemp("pretrained")
    (where / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    config = {"model_type": "bert", "hidden_act": "gelu", "layer_norm_eps": 1e-12, "hidden_size": 12}
    config |= {"num_attention_heads": 3, "num_hidden_layers": 2, "intermediate_size": 20, "vocab_size": len(PIECES)}
    (where / "config.json").write_text(json.dumps(config | {"max_position_embeddings": MOST_PIECES}))
    torch.manual_seed(0)
    made = Transformer(Shape(**SHAPE))
    weights = {
        "embeddings.word_embeddings.weight": made.words.weight,
        "embeddings.position_embeddings.weight": made.places.weight,
        "embeddings.token_type_embeddings.weight": made.kinds.weight,
        "embeddings.LayerNorm.weight": made.norm.weight,
        "embeddings.LayerNorm.bias": made.norm.bias,
        "pooler.dense.weight": torch.zeros(2),
    }
    for i, layer in enumerate(made.layers):
        for mine, theirs in names_of(i).items():
            for kind in ("weight", "bias"):
                weights[f"{theirs}.{kind}"] = getattr(getattr(layer, mine), kind)
    save_file(
        {f"bert.{name}": weight.detach().contiguous() for name, weight in weights.items()}, where / "model.safetensors"
    )
    return where


@pytest.mark.parametrize(
    ("word", "pieces"),
    [
        ("play", ["play"]),
        ("Jazz", ["ja", "##zz"]),
        ("figs", ["fig", "##s"]),
        ("café", ["cafe"]),
        ("play-up", ["play", "-", "up"]),
        ("playq", ["[UNK]"]),
        ("jazz-q", ["ja", "##zz", "-", "[UNK]"]),
        ("\u0301", ["[UNK]"]),
    ],
)
def test_words_become_pieces(word, pieces):
    assert [PIECES[i] for i in Pieces(PIECES).of(word)] == pieces


def test_pieces_are_lined_up_and_cut_where_there_is_no_place():
    pieces = Pieces(PIECES)
    piece, length, first = lined_up([[pieces.of("jazz"), pieces.of("up")], [pieces.of("play")]], pieces)
    assert [PIECES[i] for i in piece[0]] == ["[CLS]", "ja", "##zz", "up", "[SEP]"]
    assert length.tolist() == [5, 3] and first.tolist() == [[1, 3], [1, 0]]
    piece, length, first = lined_up([[pieces.of("jazz")] * 600], pieces)
    assert piece.shape == (1, MOST_PIECES) and int(first.max()) == MOST_PIECES - 1 and first.shape == (1, 600)


@torch.inference_mode()
def test_the_sums_are_those_of_torch_and_padding_changes_nothing(folder):
    mine = Transformer(Shape.read(folder)).eval()
    mine.load(folder)
    pieces = Pieces(read_pieces(folder))
    piece, length, _ = lined_up([[pieces.of("jazz"), pieces.of("up")], [pieces.of("play")]], pieces)
    states = mine(piece, length)
    x = mine.norm(mine.words(piece) + mine.places.weight[: piece.size(1)] + mine.kinds.weight[0])
    for layer in mine.layers:
        peer = nn.TransformerEncoderLayer(12, 3, 20, 0.0, "gelu", 1e-12, batch_first=True).eval()
        projections = (layer.query, layer.key, layer.value)
        peer.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in projections]))
        peer.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in projections]))
        for own, theirs in (
            (peer.self_attn.out_proj, layer.out),
            (peer.linear1, layer.up),
            (peer.linear2, layer.down),
            (peer.norm1, layer.norm_1),
            (peer.norm2, layer.norm_2),
        ):
            own.load_state_dict(theirs.state_dict())
        x = peer(x, src_key_padding_mask=torch.arange(piece.size(1)) >= length[:, None])
    torch.testing.assert_close(states[0], x[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(states[1, :3], x[1, :3], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(states[1:, :3], mine(piece[1:, :3], length[1:]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_a_model_holds_its_transformer(folder, tmp_path, rate):
    shards = write_shards(tmp_path / "shards")
    config = tiny(pretrained=str(folder), domains="shared" if rate else "none")
    data_of = DataConfig(by="intent") if rate else config.data
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, pretrained_rate=rate), data=data_of)
    train(shards, tmp_path / "m", config)
    setup, model, _ = load_model(tmp_path / "m")
    before = Transformer(Shape.read(folder))
    before.load(folder)

    assert torch.equal(before.layers[0].up.weight, model.encoder.pretrained.layers[0].up.weight) == (rate == 0)
    ready = parser.load(tmp_path / "m", domain="PlayMusicIntent" if rate else None)
    data = [row | {"domain": row["symbols"][0]} for row in rows(12)]
    parses = ready.parse_many([row["words"] for row in data], batch_size=4)
    assert [p.tree for p in parses] == [ready.parse(row["words"]).tree for row in data]
    batch, given = (
        Examples(table_of(data), setup.vocab, setup.ontology).batch(range(12)),
        [row["words"] for row in data],
    )
    for name in ("piece_BP", "pieces_B", "first_BW"):
        assert torch.equal(getattr(batch, name), getattr(make_input(given, setup.vocab), name))


def test_fine_tuning_may_add_a_transformer_but_not_drop_it(folder, tmp_path):
    data = rows(12)
    plain, reads = setup_of(data, tiny()), setup_of(data, tiny(pretrained=str(folder)))
    torch.manual_seed(2)
    older, model = plain.build().eval(), reads.build().eval()
    model.encoder.pretrained.load(folder)
    before = model.encoder.pretrained.layers[0].up.weight.clone()
    take_over(model, reads.vocab, older, plain.vocab)
    mine, theirs = (Examples(table_of(data), s.vocab, s.ontology).batch(range(12)) for s in (reads, plain))

    torch.testing.assert_close(model(mine), older(theirs), msg="its columns are zero at first")
    assert torch.equal(model.encoder.pretrained.layers[0].up.weight, before)
    with pytest.raises(CheckpointError, match=r"it has model.pretrained='.+', here ''"):
        take_over(older, plain.vocab, model, reads.vocab)


def test_a_folder_of_another_kind_is_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match="not the folder of a pretrained model"):
        Shape.read(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(ConfigError, match="only models of type `bert`"):
        Shape.read(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 64}))
    with pytest.raises(ConfigError, match="64 places; 512 are needed"):
        Shape.read(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    with pytest.raises(ConfigError, match="keeps capitals"):
        Shape.read(tmp_path)
    with pytest.raises(ConfigError, match=r"lacks \[SEP\]"):
        Pieces(PIECES[:3])
    with pytest.raises(ConfigError, match=r"does not fit its config\.json"):
        Transformer(Shape(**SHAPE | {"layers": 3})).load(folder)


@pytest.mark.parametrize(("most", "reads"), [(MOST_KEPT, [2, 1]), (4 * 5 * 12, [2, 2]), (0, [2, 3])])
def test_a_frozen_transformer_reads_an_utterance_once_in_training(folder, most, reads):
    """[CLS] ja ##zz up [SEP] and [CLS] play [SEP], then the two again with a new one: 60, 36 and 36 numbers."""
    mine = Transformer(Shape.read(folder)).requires_grad_(False)
    mine.load(folder)
    mine.kept = Kept(most)
    pieces = Pieces(read_pieces(folder))
    jazz_up, play, salt = ([pieces.of(word) for word in words] for words in (["jazz", "up"], ["play"], ["salt"]))
    seen = []
    mine.layers[0].register_forward_hook(lambda layer, given, made: seen.append(len(made)))
    for utterances in ([jazz_up, play, play], [play, salt, jazz_up]):
        piece, length, _ = lined_up(utterances, pieces)
        mine.train()
        found = mine.read(piece, length)
        called = len(seen)
        for row, plain, size in zip(found, mine.eval().read(piece, length), length, strict=True):
            torch.testing.assert_close(row[:size], plain[:size], atol=1e-5, rtol=1e-4)
        del seen[called:]
    assert seen == reads and mine.kept.size <= most
    mine.requires_grad_(True).train().read(piece, length).sum().backward()
    assert len(seen) == 3 and mine.words.weight.grad is not None
