"""The files for OpenCompass: sound Python, its own data sets and classes, and no other weights than the submitted ones.

`benchmarks/opencompass_files.py` runs them in a real OpenCompass.
"""

import ast
import json
import sys
import types

import pytest
import typer
from typer.testing import CliRunner

from edgelm.bridges.opencompass import CONFIGURATION, MODEL, write_opencompass
from edgelm.checkpoint import Card, Checkpoint
from edgelm.cli.opencompass import opencompass
from edgelm.errors import BadOption

NAME = "tiny\"'\n$x"  # a name may hold what Python and templates give a meaning


@pytest.fixture
def checkpoint(tmp_path, write_zeros):
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    write_zeros(folder / "model.safetensors", {"a": (2, 2)})
    return Checkpoint(folder)


@pytest.fixture
def stock(monkeypatch):
    """In place of OpenCompass's models: they remember what they were made with."""

    class Stock:
        def __init__(self, path, **options):
            self.path, self.options = path, options

    class Chat(Stock):
        pass

    class Base(Stock):
        pass

    module = types.ModuleType("opencompass.models")
    module.HuggingFacewithChatTemplate, module.HuggingFaceBaseModel = Chat, Base
    monkeypatch.setitem(sys.modules, "opencompass", types.ModuleType("opencompass"))
    monkeypatch.setitem(sys.modules, "opencompass.models", module)
    return module


def _submitted(out):
    names = {}
    exec(compile((out / MODEL).read_text(), MODEL, "exec"), names)
    return names["Submitted"]


def _config(out):
    """The dictionary of the one model, its class by name."""
    tree = ast.parse((out / CONFIGURATION).read_text())
    [models] = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "models"]
    values = {word.arg: word.value for word in models.elts[0].keywords}
    return {name: value.id if isinstance(value, ast.Name) else ast.unparse(value) for name, value in values.items()}


@pytest.mark.parametrize(("prompting", "expected"), [
    (None, "HuggingFaceBaseModel"), ("chat", "HuggingFacewithChatTemplate"), ("base", "HuggingFaceBaseModel"),
])  # fmt: skip
def test_the_class_is_opencompass_own_for_the_prompting(checkpoint, stock, tmp_path, prompting, expected):
    write_opencompass(checkpoint, tmp_path / "out", "where", prompting)
    submitted = _submitted(tmp_path / "out")
    assert submitted.__mro__[1] is getattr(stock, expected)
    made = submitted(str(checkpoint.path), batch=8)
    assert made.path == str(checkpoint.path) and made.options == {"batch": 8}


def test_the_card_says_how_to_ask(checkpoint, stock, tmp_path):
    checkpoint.write_card(Card(prompting="chat"))
    write_opencompass(Checkpoint(checkpoint.path), tmp_path / "out", "where")
    assert _submitted(tmp_path / "out").__mro__[1] is stock.HuggingFacewithChatTemplate


@pytest.mark.parametrize("tamper", [
    lambda folder: (folder / "config.json").write_text("{ }"), lambda folder: (folder / "config.json").unlink(),
])  # fmt: skip
def test_another_checkpoint_is_refused(checkpoint, stock, tmp_path, tamper):
    write_opencompass(checkpoint, tmp_path / "out", "where")
    tamper(checkpoint.path)
    with pytest.raises(ValueError, match=r"config\.json is not the file that was submitted"):
        _submitted(tmp_path / "out")(str(checkpoint.path))


def test_a_name_on_the_hub_is_fetched(checkpoint, stock, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name: {"team/tiny": str(checkpoint.path)}[name])
    write_opencompass(checkpoint, tmp_path / "out", "team/tiny")
    assert _submitted(tmp_path / "out")("team/tiny").path == str(checkpoint.path)


def test_the_configuration_names_each_data_set_once_and_the_model(checkpoint, tmp_path):
    write_opencompass(checkpoint, tmp_path / "out", 'a"b')
    text = (tmp_path / "out" / CONFIGURATION).read_text()
    for config in ("734a22", "0a29a2", "8e312c", "bbh_gen_5b92b0", "1d7fe4", "5ddc62", "longbench.longbench"):
        assert text.count(config) == 1
    values = _config(tmp_path / "out")
    assert values["type"] == "Submitted" and values["batch_size"] == "8" and values["max_out_len"] == "1024"
    assert ast.literal_eval(values["path"]) == 'a"b' and ast.literal_eval(values["abbr"]) == f"{NAME}_hf"


@pytest.mark.parametrize("own", [False, True])
def test_code_is_trusted_only_where_the_checkpoint_brings_some_and_the_file_says_why(checkpoint, tmp_path, own):
    config = {"auto_map": {"AutoModelForCausalLM": "own.Model"}} if own else {"auto_map": {}}
    (checkpoint.path / "config.json").write_text(json.dumps(config))
    write_opencompass(Checkpoint(checkpoint.path), tmp_path / "out", "where")
    values = _config(tmp_path / "out")
    assert values["model_kwargs"] == f"dict(device_map='auto', trust_remote_code={own})"
    assert values["tokenizer_kwargs"] == f"dict(trust_remote_code={own})"
    assert f"# {own}" in (tmp_path / "out" / CONFIGURATION).read_text()
    assert ("classes of its own" in (tmp_path / "out" / MODEL).read_text()) == own


def test_the_verb_writes_both_and_says_how_to_run_them(checkpoint, tmp_path):
    app = typer.Typer()
    app.command()(opencompass)
    arguments = [str(checkpoint.path), "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False, standalone_mode=False)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {MODEL, CONFIGURATION}
    assert f"opencompass {CONFIGURATION}" in result.stderr
    assert ast.literal_eval(_config(tmp_path / "out")["path"]) == str(checkpoint.path)
    with pytest.raises(BadOption, match="exists already"):
        CliRunner().invoke(app, arguments, catch_exceptions=False, standalone_mode=False)
