"""Special tokens, and which of them encoding adds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.deploy.gguf_special import adds, special_ids
from edgelm.errors import MissingInput

IDS = {"a": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "<|im_end|>": 4}
BOS, EOS, TEXT = {"SpecialToken": {"id": "<s>"}}, {"SpecialToken": {"id": "</s>"}}, {"Sequence": {"id": "A"}}


def checkpoint(folder: Path, *, config: Any = None, tokenizer: Any = None, generation: Any = None) -> Checkpoint:
    for name, value in (("config", config or {}), ("tokenizer_config", tokenizer), ("generation_config", generation)):
        if value is not None:
            (folder / f"{name}.json").write_text(json.dumps(value))
    return Checkpoint(folder)


def test_the_tokenizer_names_its_tokens_as_text_or_object(tmp_path: Path) -> None:
    names = {"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": False}, "pad_token": None}
    found = special_ids(checkpoint(tmp_path, tokenizer=names, config={"bos_token_id": 0, "unk_token_id": 3}), IDS)
    assert found == {"bos": 1, "eos": 2, "unk": 3}


def test_every_token_that_stops_generation_stops_llama_cpp(tmp_path: Path) -> None:
    source = checkpoint(tmp_path, tokenizer={"eos_token": "<|im_end|>"}, config={"eos_token_id": 0},
                        generation={"eos_token_id": [2, 4, 3]})  # fmt: skip
    assert special_ids(source, IDS) == {"eos": 4, "eot": 2, "eom": 3}


def test_a_list_in_the_configuration_alone(tmp_path: Path) -> None:
    assert special_ids(checkpoint(tmp_path, config={"eos_token_id": [2, 4]}), IDS) == {"eos": 2, "eot": 4}


@pytest.mark.parametrize("config", [{}, {"eos_token_id": 99}, {"eos_token_id": None}, {"eos_token_id": []}])
def test_a_text_must_end(tmp_path: Path, config: dict[str, Any]) -> None:
    with pytest.raises(MissingInput) as caught:
        special_ids(checkpoint(tmp_path, config=config), IDS)
    assert "eos_token" in caught.value.mend


@pytest.mark.parametrize(
    ("single", "expected"),
    [([BOS, TEXT], (True, False)), ([TEXT, EOS], (False, True)), ([BOS, TEXT, EOS], (True, True)),
     ([TEXT], (False, False))],
)  # fmt: skip
def test_the_template_of_the_post_processor_decides(single: list[Any], expected: tuple[bool, bool]) -> None:
    template = {"type": "TemplateProcessing", "single": single}
    nested = {"type": "Sequence", "processors": [{"type": "ByteLevel"}, template]}
    assert adds({"post_processor": template}) == adds({"post_processor": nested}) == expected


def test_without_a_template_nothing_is_added() -> None:
    assert adds({"post_processor": None}) == adds({"post_processor": {"type": "ByteLevel"}}) == (False, False)


@pytest.mark.parametrize("template", [None, "<|bos|> $A", "$A <|eos|>", "<|bos|> $A <|eos|>"])
@pytest.mark.parametrize("setting", [{}, {"add_bos_token": True}, {"add_bos_token": False, "add_eos_token": True}])
def test_transformers_adds_the_same(make_checkpoint: Any, template: str | None, setting: dict[str, bool]) -> None:
    import transformers
    from tokenizers import Tokenizer, processors

    folder = make_checkpoint("llama")
    path = str(folder / "tokenizer.json")
    stored = Tokenizer.from_file(path)
    if template:
        ends = [("<|bos|>", 0), ("<|eos|>", 1)]
        stored.post_processor = processors.TemplateProcessing(single=template, special_tokens=ends)
        stored.save(path)
    config = json.loads((folder / "tokenizer_config.json").read_text()) | setting
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    ids = transformers.AutoTokenizer.from_pretrained(folder)("x")["input_ids"]
    assert adds(json.loads(Path(path).read_text(encoding="utf-8"))) == (ids[0] == 0, ids[-1] == 1)
