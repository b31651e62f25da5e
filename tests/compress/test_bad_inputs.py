"""What is wrong with an `edgelm compress` is said with its mend, by exit code 2, and nothing is left behind."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from edgelm.checkpoint import Checkpoint
from edgelm.cli import main
from edgelm.compress.run import compress
from edgelm.data.texts import TextSource
from edgelm.errors import EXIT_INPUT, BadOption
from edgelm.plugins import parse

SMALL = ("--calib-tokens", "300", "--seq", "48")
CUT = "depth:drop=1"
Refused = Callable[..., str]
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def whole(make_checkpoint: Callable[..., Path]) -> Path:
    """A checkpoint that nobody breaks: 4 layers of 64 × 128, 4 query and 2 key/value heads, 320 tokens."""
    return make_checkpoint("llama")


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Refused:
    """Run the verb, which must refuse with exit code 2 and leave nothing but finished steps; what it said."""

    def call(model: Path, *words: object, out: Path | None = None) -> str:
        before = _everything(tmp_path) | _everything(model)
        command = ["edgelm", "compress", model, *words, "-o", tmp_path / "out" if out is None else out]
        monkeypatch.setattr(sys, "argv", [str(word) for word in command])
        monkeypatch.setenv("COLUMNS", "200")
        capfd.readouterr()  # what fixtures printed
        with pytest.raises(SystemExit) as end:
            main()
        said = capfd.readouterr().err
        assert end.value.code == EXIT_INPUT, said
        assert "Traceback" not in said
        assert ("error: " in said and "mend: " in said) or "Invalid value" in said or "No such option" in said, said
        work = tmp_path / ".out.work"
        assert not work.exists() or any(work.glob("*/done.json"))
        left = {(path, size) for path, size in _everything(tmp_path) | _everything(model)
                if work not in (path, *path.parents)}  # fmt: skip
        assert left == before
        return said

    return call


def _everything(folder: Path) -> set[tuple[Path, int]]:
    """All files below a folder, hidden ones too, each with its size."""
    return {(path, path.stat().st_size if path.is_file() else 0) for path in folder.rglob("*")}


# Steps and their options: what is typed, and what the message must name, its mend among it.
STEPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no step at all": ((), ("needs steps", "--fit 12GB")),
    "unknown step": (("pruning:layers=1",), ("'pruning'", "known: ", "depth")),
    "a step by another sign": (("depth/drop=1",), ("'depth/drop=1'", "'depth'")),
    "unknown option": (("kv:head=1",), ("no option 'head'", "'heads'")),
    "option of the wrong type": (("width:ffn=wide",), ("width:ffn=wide", "whole number")),
    "half a layer": (("depth:drop=1.5",), ("depth:drop=1.5", "whole number")),
    "yes or no": (("depth:drop=2,force=perhaps",), ("force=perhaps", "true or false")),
    "option given twice": (("depth:drop=1,drop=2",), ("'drop' comes twice", "once")),
    "option without a value": (("width:ffn",), ("'ffn'", "key=value")),
    "needed option missing": (("kv",), ("'kv' needs heads", "kv:heads=")),
    "fewer than no layers": (("depth:drop=-1",), ("depth:drop=-1", "number of layers")),
    "all layers but the ends": (("depth:drop=3",), ("of 4 layers", "at most 1")),
    "too deep without force": (("depth:drop=2",), ("50%", "force=1")),
    "drop and keep at once": (("depth:drop=1,keep=3",), ("drop", "keep", "depth:drop=4")),
    "unknown score": (("depth:drop=1,score=luck",), ("score=luck", "bi, angle")),
    "nothing to narrow": (("width",), ("nothing to narrow", "width:ffn=")),
    "no channels": (("width:ffn=0",), ("width:ffn=0", "multiple of 4 below 128")),
    "ffn that is not aligned": (("width:ffn=97",), ("width:ffn=97", "96 or 100")),
    "hidden that is not aligned": (("width:hidden=61",), ("width:hidden=61", "60 or 64")),
    "wider than the model": (("width:hidden=128",), ("hidden=128", "width of 64")),
    "no heads": (("width:heads=0",), ("width:heads=0", "give one of 2")),
    "heads that make groups unequal": (("width:heads=3",), ("heads=3", "groups of 2", "give one of 2")),
    "more heads than there are": (("width:heads=8",), ("heads=8", "4 query heads", "give one of 2")),
    "key/value heads that do not divide": (("kv:heads=3",), ("kv:heads=3", "2 key/value heads", "give one of 1")),
    "more key/value heads": (("kv:heads=4",), ("kv:heads=4", "give one of 1")),
    "no tokens": (("vocab:keep=0",), ("vocab:keep=0", "vocab:keep=0.6")),
    "fewer than no tokens": (("vocab:keep=-0.5",), ("vocab:keep=-0.5", "vocab:keep=0.6")),
    "a share above one": (("vocab:keep=1.5",), ("vocab:keep=1.5", "vocab:keep=0.6")),
    "a number that is none": (("vocab:keep=nan",), ("vocab:keep=nan", "number")),
    "two ways to keep tokens": (("vocab:keep=0.5,langs=en",), ("one of keep, langs and min_count", "vocab:keep=0.6")),
    "unknown language": (("vocab:langs=en+xx",), ("xx", "known: en, zh")),
    "tokens left out twice": (("vocab:keep=0.99", "vocab:keep=0.98"), ("once", "compress twice")),
    "healing by nothing": (("heal",), ("'heal' needs tokens", "heal:tokens=")),
    "unknown way to heal": (("heal:tokens=1K,method=magic",), ("method=magic", "block, lora, full")),
    "a dtype that is not dense": (("cast:dtype=int8",), ("dtype=int8", "float16")),
    "two dtypes": (("cast:dtype=float32", "--dtype", "float16"), ("--dtype float16", "dtype=float32", "leave one")),
}  # fmt: skip

# General options, with a step that could be taken.
OPTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no calibration tokens": (("--calib-tokens", "0"), ("--calib-tokens 0", "32K")),
    "fewer than none": (("--calib-tokens", "-5"), ("--calib-tokens -5", "32K")),
    "tokens in words": (("--calib-tokens", "many"), ("--calib-tokens many", "32K")),
    "sequences of nothing": (("--seq", "0"), ("sequences of 0", "at least 8")),
    "sequences of one": (("--seq", "1"), ("sequences of 1 ", "at least 8")),
    "a dtype nobody stores": (("--dtype", "int4"), ("int4", "float16")),
    "a seed in words": (("--seed", "luck"), ("--seed", "integer")),
    "unknown general option": (("--ratio", "0.5"), ("--ratio",)),
    "no such data folder": (("--data", "nowhere"), ("no data folder nowhere", "--data")),
    "a ceiling in words": (("--fit", "small"), ("--fit small", "7GB")),
    "a ceiling of nothing": (("--fit", "0"), ("--fit 0", "7GB")),
    "a ceiling that nothing fits": (("--fit", "1MB"), ("no shape", "smallest has", "larger limit")),
    "parameters of nothing": (("--target-params", "0"), ("--target-params 0", "3.7B")),
    "fewer parameters than any shape": (("--target-params", "1K"), ("no shape", "smallest has", "larger limit")),
    "more parameters than the base": (("--target-params", "3B"), ("3,000,000,000", "no fewer", "give fewer")),
    "memory in words": (("--memory", "plenty"), ("--memory plenty", "6GB")),
    "memory that nothing runs in": (("--memory", "1MB"), ("--memory", "too little", "or more")),
}  # fmt: skip

# Calibration text: the file's name, its bytes, and what the message must name.
TEXTS: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "empty": ("a.txt", b"", ("a.txt", "holds no text", "some documents")),
    "blank": ("a.txt", b"\n \n<|endoftext|>\n", ("a.txt", "holds no text")),
    "too short": ("a.txt", b"Too short.", ("too few", "give more text")),
    "no text": ("a.txt", b"fine\n\xff\xfe\x00", ("line 2", "a.txt", "UTF-8")),
    "a document of an office": ("a.docx", b"PK\x03\x04\xff\xff", ("a.docx", "UTF-8", ".parquet")),
    "broken JSON": ("a.jsonl", b'{"text": "One."}\n{broken\n', ("line 2", "a.jsonl")),
    "rows without text": ("a.jsonl", b'{"content": "One."}\n', ("no 'text'", "content", "instruction")),
    "rows that are none": ("a.json", b'[{"text": "One."}, "Two."]', ("row 2", "no JSON object")),
    "text that is a number": ("a.json", b'[{"text": 7}]', ("row 1", "'text' is no text")),
    "broken parquet": ("a.parquet", b"PAR1 and nothing else", ("a.parquet", "no sound parquet")),
    "broken gzip": ("a.txt.gz", b"not zipped", ("a.txt.gz", "no sound gzip")),
}  # fmt: skip


@pytest.mark.parametrize("case", STEPS)
def test_a_bad_step(case: str, refused: Refused, whole: Path) -> None:
    words, named = STEPS[case]
    _assert_named(refused(whole, *words, *SMALL), named)


@pytest.mark.parametrize("case", OPTIONS)
def test_a_bad_option(case: str, refused: Refused, whole: Path) -> None:
    words, named = OPTIONS[case]
    small = SMALL[:2] if "--seq" in words else SMALL[2:] if "--calib-tokens" in words else SMALL
    searched = "--fit" in words or "--target-params" in words
    _assert_named(refused(whole, *() if searched else (CUT,), *words, *small), named)


@pytest.mark.parametrize("case", TEXTS)
def test_bad_calibration_text(case: str, refused: Refused, whole: Path, tmp_path: Path) -> None:
    name, content, named = TEXTS[case]
    (tmp_path / name).write_bytes(content)
    _assert_named(refused(whole, CUT, *SMALL, "--calib", tmp_path / name), named)


def test_calibration_text_that_is_not_there(refused: Refused, whole: Path, tmp_path: Path) -> None:
    _assert_named(refused(whole, CUT, *SMALL, "--calib", tmp_path / "no.txt"), ("no file", "no.txt", "check the path"))
    _assert_named(refused(whole, CUT, *SMALL, "--calib", tmp_path), (str(tmp_path), "directory", "check the path"))


@pytest.mark.parametrize(("content", "named"), [
    (b"# nothing yet\n", ("holds no step", "depth:drop=4")),
    (b"depth:drop=1 width:ffn=96\n", ("line 1", "not one step", "one spec a line")),
    (b"\ndepth:drip=1\n", ("line 2", "'drip'", "'drop'")),
    (b"\xff\xfe\x00", ("cannot be read", "UTF-8")),
])  # fmt: skip
def test_a_bad_recipe(content: bytes, named: tuple[str, ...], refused: Refused, whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "recipe.txt"
    path.write_bytes(content)
    _assert_named(refused(whole, path, *SMALL), (*named, str(path)))


def test_a_recipe_that_is_not_there(refused: Refused, whole: Path) -> None:
    _assert_named(refused(whole, "nowhere.txt"), ("no recipe nowhere.txt", "check the path"))


# Checkpoints: how to break one, what is done with it, and what the message must name.


def _weights(change: Callable[[dict[str, Tensor]], object]) -> Damage:
    def damage(model: Path) -> None:
        tensors = load_file(model / "model.safetensors")
        change(tensors)
        save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})

    return damage


def _value(name: str, value: float) -> Damage:
    return _weights(lambda tensors: tensors[name].view(-1).__setitem__(3, value))


def _config(**changes: object) -> Damage:
    def damage(model: Path) -> None:
        path = model / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def _tokenizer(**changes: object) -> Damage:
    def damage(model: Path) -> None:
        path = model / "tokenizer.json"
        tokenizer = json.loads(path.read_text())
        path.write_text(json.dumps(tokenizer | {"model": tokenizer["model"] | changes}))

    return damage


def _no_tokenizer(model: Path) -> None:
    for path in model.glob("*token*"):
        path.unlink()


def _text(name: str, content: str) -> Damage:
    return lambda model: (model / name).write_text(content)


def _cut_short(name: str) -> Damage:
    return lambda model: os.truncate(model / name, (model / name).stat().st_size - 100)


def _in_shards(then: Damage) -> Damage:
    def damage(model: Path) -> None:
        tensors = load_file(model / "model.safetensors")
        files = {name: f"model-0000{1 + ('head' in name)}-of-00002.safetensors" for name in tensors}
        for file in set(files.values()):
            save_file({name: tensors[name] for name in files if files[name] == file}, model / file)
        (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
        (model / "model.safetensors").unlink()
        then(model)

    return damage


UP, HEAD, EMBEDDING = "model.layers.1.mlp.up_proj.weight", "lm_head.weight", "model.embed_tokens.weight"
INDEX, SECOND = "model.safetensors.index.json", "model-00002-of-00002.safetensors"
NAN, INF = float("nan"), float("inf")
SOUND = "give a sound checkpoint"
BROKEN: dict[str, tuple[Damage, tuple[str, ...], tuple[str, ...]]] = {
    "NaN in a layer": (_value(UP, NAN), (CUT,), (UP, "NaN", SOUND)),
    "NaN when channels are compared": (_value(UP, NAN), ("width:ffn=96",), (UP, "NaN", SOUND)),
    "NaN when heads are merged": (_value(UP, NAN), ("kv:heads=1",), (UP, "NaN", SOUND)),
    "NaN when it is learned from": (_value(UP, NAN), ("heal:tokens=100",), (UP, "NaN", SOUND)),
    "infinity in a layer": (_value(UP, INF), (CUT,), (UP, "infinities", SOUND)),
    "infinity in the embedding": (_value(EMBEDDING, -INF), (CUT,), (EMBEDDING, SOUND)),
    "NaN in the head": (_value(HEAD, NAN), (CUT,), (HEAD, SOUND)),
    "NaN in the final norm": (_value("model.norm.weight", NAN), (CUT,), ("model.norm.weight", SOUND)),
    "NaN in a search": (_value(UP, NAN), ("--target-params", "150K"), (UP, "NaN", SOUND)),
    "too large for float16": (_value(UP, 7e4), ("kv:heads=1",), ("70000", "65504", "--dtype float32")),
    "mixed dtypes kept": (_weights(lambda tensors: tensors.update({UP: tensors[UP].half()})), (CUT, "--dtype", "keep"),
                          ("no one dtype", "F16", "F32", "--dtype float16")),
    "whole numbers": (_weights(lambda tensors: tensors.update({UP: tensors[UP].char()})), (CUT,), ("I8", "F16")),
    "a tensor missing": (_weights(lambda tensors: tensors.pop(UP)), (CUT,), (UP, "not stored", "original model")),
    "a tensor too many": (_weights(lambda tensors: tensors.update(lora=torch.ones(2))), (CUT,), ("lora", "foreign")),
    "a tensor of another shape": (_weights(lambda tensors: tensors.update({UP: torch.ones(100, 64)})), (CUT,),
                                  (UP, "(100, 64)", "(128, 64)", "original model")),
    "untied by the config, tied by the weights": (_weights(lambda tensors: tensors.pop(HEAD)), (CUT,),
                                                  (HEAD, "not stored", "tie_word_embeddings")),
    "tied by the config, untied by the weights": (_config(tie_word_embeddings=True), (CUT,),
                                                  (HEAD, "not its embedding", "set it to false")),
    "more layers by the config": (_config(num_hidden_layers=5), (CUT,), ("model.layers.4.", "not stored")),
    "quantised": (_config(quantization_config={"quant_method": "gptq"}), (CUT,), ("quantised", "fp16 model")),
    "unknown architecture": (_config(model_type="mamba"), (CUT,), ("'mamba'", "known: llama")),
    "no architecture": (_config(model_type=None), (CUT,), ("model_type", "known: llama")),
    "an activation nobody has": (_config(hidden_act="wiggle"), (CUT,), ("wiggle", "hidden_act")),
    "rotary positions nobody has": (_config(rope_scaling={"rope_type": "wiggle"}), (CUT,), ("wiggle", "rope_scaling")),
    "a dimension in words": (_config(vocab_size="many"), (CUT,), ("vocab_size is 'many'", "set vocab_size")),
    "weights cut short": (_cut_short("model.safetensors"), (CUT,), ("model.safetensors", "copy it again")),
    "a shard missing": (_in_shards(lambda model: (model / SECOND).unlink()), (CUT,), ("lacks " + SECOND, "copy")),
    "a shard cut short": (_in_shards(_cut_short(SECOND)), (CUT,), (SECOND, "no sound safetensors", "copy it again")),
    "a broken index": (_in_shards(_text(INDEX, "{")), (CUT,), (INDEX, "is not valid JSON")),
    "pickled weights": (lambda model: (model / "model.safetensors").rename(model / "pytorch_model.bin"), (CUT,),
                        ("holds no weights", "whole checkpoint")),
    "pickled weights in a search": (lambda model: (model / "model.safetensors").unlink(), ("--target-params", "150K"),
                                    ("holds no weights", "whole checkpoint")),
    "a damaged card": (_text("card.json", "{"), (CUT,), ("card.json is not valid JSON", "remake")),
    "a card of something else": (_text("card.json", '{"data": "all of it"}'), (CUT,), ("card.json", "data", "list")),
    "no tokenizer": (_no_tokenizer, (CUT,), ("tokenizer", "copy tokenizer.json")),
    "no tokenizer to leave tokens out of": (_no_tokenizer, ("vocab:keep=0.9",), ("tokenizer", "copy tokenizer.json")),
    "a damaged tokenizer": (_text("tokenizer.json", "{"), (CUT,), ("tokenizer", "copy tokenizer.json")),
    "a tokenizer that is no BPE": (_tokenizer(type="WordLevel", unk_token="<unk>"), ("vocab:keep=0.9",),
                                   ("byte-level BPE", "WordLevel", "leave the step vocab out")),
    "the tokenizer of a larger model": (_config(vocab_size=300), ("vocab:keep=0.9", "--plan"), ("300 rows", "copy")),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_checkpoint(case: str, refused: Refused, whole: Path, tmp_path: Path) -> None:
    damage, words, named = BROKEN[case]
    model = shutil.copytree(whole, tmp_path / "model")
    damage(model)
    _assert_named(refused(model, *words, *SMALL), named)


@pytest.mark.parametrize("template", ["{% for %}", "{{ raise_exception('no such role') }}"])
def test_a_template_that_does_not_work(template: str, refused: Refused, whole: Path, tmp_path: Path) -> None:
    model = shutil.copytree(whole, tmp_path / "model")
    (model / "chat_template.jinja").write_text(template)
    rows = [{"instruction": f"Square {n}.", "output": f"The square of {n} is {n * n}."} for n in range(60)]
    (tmp_path / "asked.json").write_text(json.dumps(rows))
    said = refused(model, CUT, *SMALL, "--calib", tmp_path / "asked.json")
    _assert_named(said, ("the chat template of", "mend the template"))


# Where it shall be written


def test_output_in_the_place_of_the_model(refused: Refused, whole: Path) -> None:
    _assert_named(refused(whole, CUT, *SMALL, out=whole), (str(whole), "exists already", "another -o"))


def test_output_in_the_place_of_a_file(refused: Refused, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("years of work")
    _assert_named(refused(whole, CUT, *SMALL, out=tmp_path / "thesis"), ("thesis exists already",))
    said = refused(whole, CUT, *SMALL, out=tmp_path / "thesis" / "small")
    _assert_named(said, (str(tmp_path / "thesis" / "small"), "cannot be written", "another folder"))


def test_output_is_refused_before_the_text_is_read(refused: Refused, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("years of work")
    said = refused(whole, CUT, "--calib", tmp_path / "no.txt", out=tmp_path / "thesis")
    _assert_named(said, ("exists already",))


def test_a_disk_that_cannot_be_written(
    refused: Refused, whole: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fixed(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path))

    monkeypatch.setattr("edgelm.compress.stream.writing._write", fixed)
    _assert_named(refused(whole, CUT, *SMALL), (str(tmp_path), "Read-only", "permissions"))


def test_no_place_to_write_at_all(whole: Path, capfd: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["edgelm", "compress", str(whole), CUT])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == EXIT_INPUT
    _assert_named(capfd.readouterr().err, ("needs a folder to write", "-o FOLDER"))


def test_the_function_refuses_as_the_command_does(whole: Path, tmp_path: Path, texts: list[TextSource]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(BadOption, match="exists already"):
        compress(Checkpoint(whole), [parse("compress", CUT)], tmp_path / "out", texts=texts, tokens=300)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def _assert_named(said: str, named: tuple[str, ...]) -> None:
    for each in named:
        assert each in said, said
