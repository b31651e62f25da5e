"""Checkpoints: described from headers alone, every kind of damage named, an identity over every file but the card."""

import json
import struct
from pathlib import Path

import pytest

from edgelm.checkpoint import CARD, INDEX, Card, Checkpoint, write_config
from edgelm.errors import BadFile, MissingInput
from edgelm.shapes import shape_of

LLAMA_3_1_8B = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072,
}  # fmt: skip


def _sharded(write_zeros, folder, shapes, shards):
    """A checkpoint folder with its tensors spread over so many files and an index."""
    (folder / "config.json").write_text(json.dumps(LLAMA_3_1_8B))
    names, weight_map = list(shapes), {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: shapes[name] for name in names[shard::shards]}
        write_zeros(folder / file, part)
        weight_map |= dict.fromkeys(part, file)
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    return folder


@pytest.fixture
def small(tmp_path, write_zeros):
    """Two shards of three small tensors."""
    return _sharded(write_zeros, tmp_path, {"a": (3, 4), "b": (5,), "c": ()}, 2)


# What is there


def test_a_checkpoint_of_transformers_is_described(make_checkpoint):
    checkpoint = Checkpoint(make_checkpoint("qwen2", dtype="float16"))
    assert checkpoint.parameters == checkpoint.shape.parameters
    assert checkpoint.bytes == 2 * checkpoint.parameters
    assert checkpoint.dtypes == {"F16": checkpoint.parameters}
    assert {name: tensor.shape for name, tensor in checkpoint.tensors.items()} == checkpoint.shape.tensors
    assert checkpoint.prompting == "chat" and "im_start" in checkpoint.chat_template


def test_tied_weights_count_once(make_checkpoint):
    tied, untied = (Checkpoint(make_checkpoint("llama", tied=tied)) for tied in (True, False))
    assert untied.parameters - tied.parameters == tied.shape.head_parameters


def test_shards_are_read_through_the_index(small):
    checkpoint = Checkpoint(small)
    assert checkpoint.parameters == 12 + 5 + 1 and checkpoint.bytes == 36
    assert [path.name for path in checkpoint.weight_files] == [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    tensor = checkpoint.tensors["c"]
    assert tensor.shape == () and tensor.bytes == 2 and tensor.start == tensor.file.stat().st_size - 2


def test_an_8b_checkpoint_is_described_from_its_headers_alone(tmp_path, monkeypatch, write_zeros):
    shapes = shape_of(LLAMA_3_1_8B).tensors
    checkpoint = Checkpoint(_sharded(write_zeros, tmp_path, shapes, 4))
    headers = sum(_sizes(path)[0] for path in tmp_path.glob("*.safetensors"))
    told = _count_reads(monkeypatch)
    assert checkpoint.parameters == 8_030_261_248
    assert checkpoint.bytes == 2 * 8_030_261_248
    assert checkpoint.dtypes == {"BF16": 8_030_261_248}
    assert {name: tensor.shape for name, tensor in checkpoint.tensors.items()} == shapes
    assert 0 < sum(told) <= headers


def _sizes(path):
    """Bytes of length and header, and of the whole file."""
    with path.open("rb") as file:
        return 8 + struct.unpack("<Q", file.read(8))[0], path.stat().st_size


def _count_reads(monkeypatch):
    """Tell the length of every read from a safetensors file opened from now on."""
    told, original = [], Path.open

    def opened(path, *args, **options):
        file = original(path, *args, **options)
        if path.suffix == ".safetensors":
            read = file.read
            proxy = type("Counted", (), {
                "__enter__": lambda self: self, "__exit__": lambda self, *_: file.close(),
                "read": lambda self, size=-1: told.append(size) or read(size) if size >= 0 else pytest.fail("read all"),
            })  # fmt: skip
            return proxy()
        return file

    monkeypatch.setattr(Path, "open", opened)
    return told


@pytest.mark.parametrize(("missing", "match"), [("", "no checkpoint folder"), ("config.json", "no config.json")])
def test_no_folder_and_no_config_are_told_apart(tmp_path, missing, match):
    with pytest.raises(MissingInput, match=match):
        Checkpoint(tmp_path if missing else tmp_path / "none")


def test_a_folder_of_shapes_alone_has_no_weights(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_3_1_8B))
    checkpoint = Checkpoint(tmp_path)
    assert not checkpoint.has_weights and checkpoint.shape.parameters == 8_030_261_248
    with pytest.raises(MissingInput, match="safetensors"):
        _ = checkpoint.parameters


def test_a_config_is_written_whole_or_not_at_all(small, monkeypatch):
    before = (small / "config.json").read_bytes()
    monkeypatch.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(KeyboardInterrupt))  # while it is written
    with pytest.raises(KeyboardInterrupt):
        write_config(small / "config.json", {"b": "é", "a": 1})
    assert (small / "config.json").read_bytes() == before
    monkeypatch.undo()
    write_config(small / "config.json", {"b": "é", "a": 1})
    assert (small / "config.json").read_text("utf-8") == '{\n  "b": "é",\n  "a": 1\n}\n'


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_damaged_config_is_named(small, text):
    (small / "config.json").write_text(text)
    with pytest.raises(BadFile, match=r"config\.json"):
        _ = Checkpoint(small).config


def test_a_tensor_in_two_shards_is_refused(small, write_zeros):
    write_zeros(small / "model-00002-of-00002.safetensors", {"a": (3, 4)})
    with pytest.raises(BadFile, match=r"tensor a is in model-00001-of-00002\.safetensors and in model-00002"):
        _ = Checkpoint(small).tensors


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "sub/x.safetensors", "."])
def test_an_index_that_names_a_file_outside_is_refused(small, name):
    (small / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(BadFile, match="outside the folder"):
        _ = Checkpoint(small).weight_files


@pytest.mark.parametrize("name", ["model-00003-of-00002.safetensors", "", ".."])
def test_an_index_that_names_a_file_that_is_not_there_is_refused(small, name):
    (small / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(MissingInput, match="lacks"):
        _ = Checkpoint(small).weight_files


@pytest.mark.parametrize("weight_map", [None, {}, [], {"a": 1}, 7])
def test_an_index_without_a_weight_map_is_refused(small, weight_map):
    (small / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(BadFile, match="no weight_map"):
        _ = Checkpoint(small).weight_files


# Card


def test_a_card_is_read_back_with_what_it_does_not_know(small):
    checkpoint = Checkpoint(small)
    assert checkpoint.card == Card()
    card = Card(base="phi-2", derivation="compressed", recipe=["depth:drop=4"], prompting="base", colour="blue")
    checkpoint.write_card(card)
    assert checkpoint.card == card and Checkpoint(small).card.model_extra == {"colour": "blue"}
    assert checkpoint.prompting == "base"


@pytest.mark.parametrize(("card", "field"), [
    ({"derivation": "stolen"}, "derivation"), ({"recipe": "depth"}, "recipe"), ([], "the whole"),
    ({"data": [{"tokens": 3}]}, "data.0.name"), ({"parents": [1]}, "parents.0"),
])  # fmt: skip
def test_a_wrong_field_of_a_card_is_named(small, card, field):
    (small / CARD).write_text(json.dumps(card))
    with pytest.raises(BadFile, match=f"field {field} is wrong"):
        _ = Checkpoint(small).card


def test_of_several_chat_templates_the_default_is_taken(small):
    templates = [{"name": "tools", "template": "other"}, {"name": "default", "template": "this"}]
    for listed, expected in ((templates, "this"), (templates[:1], None)):
        (small / "tokenizer_config.json").write_text(json.dumps({"chat_template": listed}))
        assert Checkpoint(small).chat_template == expected


def test_a_chat_template_that_is_no_text_is_named(small):
    (small / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(BadFile, match=r"chat_template\.jinja is not UTF-8"):
        _ = Checkpoint(small).prompting


# Identity


def test_the_digest_changes_with_any_part_but_not_with_the_card_or_what_else_lies_there(small):
    for part in ("tokenizer.json", "vocab.txt", "modeling_own.py", "LICENSE"):
        (small / part).write_text("a")
    before = Checkpoint(small).digest
    Checkpoint(small).write_card(Card(base="x"))
    (small / ".cache").mkdir()
    for other in (".DS_Store", ".cache/x.json", "metrics.jsonl", "training.log"):
        (small / other).write_text("a")
    assert Checkpoint(small).digest == before
    seen = {before}
    parts = Checkpoint(small).files
    for name in parts:
        content = (small / name).read_bytes()
        (small / name).write_bytes(content + b" ")
        seen.add(Checkpoint(small).digest)
        (small / name).write_bytes(content)
    assert len(seen) == 1 + len(parts) == 1 + 4 + 4
    (small / "vocab.txt").rename(small / "vocab2.txt")
    assert Checkpoint(small).digest not in seen


def test_links_count_as_what_they_point_to(small, tmp_path_factory):
    before = Checkpoint(small).digest
    elsewhere = tmp_path_factory.mktemp("blobs") / "blob"
    (small / "config.json").rename(elsewhere)
    (small / "config.json").symlink_to(elsewhere)
    assert Checkpoint(small).digest == before


def test_the_digest_tells_the_bytes_it_reads(small):
    told = []
    assert Checkpoint(small).compute_digest(told.append) == Checkpoint(small).digest
    assert sum(told) == sum(path.stat().st_size for path in small.iterdir())
