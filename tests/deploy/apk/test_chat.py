"""The texts around a question are those that transformers' rendering of the template has."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.deploy.apk.chat import around
from edgelm.errors import BadFile

LLAMA = (
    "{{- bos_token }}{% for message in messages %}\n    {%- if message['role'] == 'tool' %}{% continue %}{% endif %}\n"
    "{{- '<|start|>' + message['role'] + '<|end|>\\n\\n' + message['content'] | trim + '<|eot|>' }}\n{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant<|end|>\\n\\n' }}{% endif %}"
)
SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if tools %}no{% endif %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture
def templated(make_checkpoint: Any, tmp_path: Path) -> Any:
    def make(template: str | None) -> Checkpoint:
        folder = tmp_path / "checkpoint"
        shutil.copytree(make_checkpoint("llama"), folder)
        (folder / "chat_template.jinja").unlink(missing_ok=True)
        config = json.loads((folder / "tokenizer_config.json").read_text())
        config.pop("chat_template", None)
        if template is not None:
            config["chat_template"] = template
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        return Checkpoint(folder)

    return make


@pytest.mark.parametrize("template", [LLAMA, SYSTEM])
def test_they_are_what_transformers_puts_there(templated: Any, template: str) -> None:
    import transformers

    checkpoint = templated(template)
    found = around(checkpoint)
    assert found is not None
    before, behind = found
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint.path)
    messages = [{"role": "user", "content": "What is an island?"}]
    whole = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert before + "What is an island?" + behind == whole
    assert behind


def test_without_a_template_there_is_nothing_around(templated: Any) -> None:
    assert around(templated(None)) is None


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ raise_exception('no user') }}", "no user"),
        ("{{ messages[0].content }}{{ messages[0].content }}", "2 times"),
        ("{{ bos_token }}", "0 times"),
        ("{% if %}", "Expected an expression"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
    ],
)
def test_a_template_that_does_not_work_is_refused(templated: Any, template: str, why: str) -> None:
    with pytest.raises(BadFile, match="does not work") as refused:
        around(templated(template))
    assert why in refused.value.why
    assert "android:chat=no" in refused.value.mend


def test_special_tokens_may_be_objects_or_stand_in_their_own_file(templated: Any) -> None:
    checkpoint = templated("{{ bos_token }}|{{ messages[0].content }}|{{ eos_token }}")
    config = {"chat_template": checkpoint.chat_template, "bos_token": {"content": "<B>", "lstrip": False}}
    (checkpoint.path / "tokenizer_config.json").write_text(json.dumps(config))
    (checkpoint.path / "special_tokens_map.json").write_text(json.dumps({"bos_token": "<old>", "eos_token": "<E>"}))
    assert around(Checkpoint(checkpoint.path)) == ("<B>|", "|<E>")
