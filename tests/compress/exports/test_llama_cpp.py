"""An unpatched llama.cpp reads every output's GGUF: the same tokens of any text, the same greedy answers."""

from __future__ import annotations

import json
import runpy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from edgelm.stock import load_model, load_tokenizer

pytestmark = pytest.mark.slow

if find_spec("xllamacpp") is None:
    pytest.skip("llama.cpp is not installed (pip install xllamacpp)", allow_module_level=True)

EXPORTS = runpy.run_path(str(Path(__file__).parents[3] / "benchmarks" / "exports.py"))
COUNT, NEAR = EXPORTS["COUNT"], EXPORTS["NEAR"]
CHAT = [{"role": "user", "content": "What is 17 + 25?"}]
PROMPTS = [
    "The quick brown fox jumps over the lazy dog.",
    "It's what they'd call a well-known fact; isn't IT?",
    "In 2024, 1234567890 tokens cost $0.25 (99.9%).",
    "def f(x):\n    return [y ** 2 for y in x]\n\n\n# end",
    "守株待兔是一个成语,意思是不劳而获。",
    "Ünïcödé — “quotes”, emoji 🙂🎉 and a tab\there",
    "  spaces   in    between,\r\n and lines \n \n  ",
    "<|im_start|>user\nHello<|im_end|>\n",
]
OTHER = ["x", "a\u00a0b\u3000c", "ﬁne ½ ² ٣ १", "é vs é", "한국어와 русский и العربية", "<|im_end|><|eos|> x <|bos|>"]


@pytest.fixture(scope="module")
def answers(made: list[Any], once: Any) -> dict[str, dict[str, Any]]:
    """For every output its prompts' ids by transformers, and what llama.cpp says, by name."""

    def make(folder: Path) -> None:
        jobs = [_job(one) for one in made]
        said = EXPORTS["llama_cpp"](jobs)
        found = {one.name: {**job, **more} for one, job, more in zip(made, jobs, said, strict=True)}
        (folder / "answers.json").write_text(json.dumps(found))

    found: dict[str, dict[str, Any]] = json.loads((once("llama-cpp", make) / "answers.json").read_bytes())
    return found


def _job(one: Any) -> dict[str, Any]:
    tokenizer = load_tokenizer(one.checkpoint)
    texts = [*PROMPTS, *OTHER, tokenizer.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)]
    ids = [tokenizer(text)["input_ids"] for text in texts]
    return {"model": str(one.gguf), "texts": texts, "ids": ids, "prompts": ids[: len(PROMPTS)], "count": COUNT}


def test_loads(answers: dict[str, dict[str, Any]]) -> None:
    assert {name: found["refused"] for name, found in answers.items() if "refused" in found} == {}


def test_same_tokens_of_texts(answers: dict[str, dict[str, Any]]) -> None:
    for name, found in answers.items():
        for text, ours, theirs in zip(found["texts"], found["ids"], found["tokens"], strict=True):
            assert ours == theirs, (name, text)


def test_same_greedy_answers(made: list[Any], answers: dict[str, dict[str, Any]]) -> None:
    apart = []
    for one in made:
        model, found = load_model(one.checkpoint, torch.float32), answers[one.name]
        for prompt, answer in zip(found["prompts"], found["answers"], strict=True):
            apart.append(EXPORTS["strays"](model, prompt, answer))
            assert apart[-1] < NEAR, (one.name, prompt, answer["tokens"])
    assert apart.count(0) >= 0.99 * len(apart)  # at the rest two logits were as good as equal


def test_a_damaged_gguf_is_noticed(made: list[Any], tmp_path: Path) -> None:
    """That the comparison can fail: other weights give other answers, and half a file none."""
    one, other = (next(one for one in made if one.name == name) for name in ("llama-depth", "llama-ffn"))
    half = tmp_path / "half.gguf"
    half.write_bytes(one.gguf.read_bytes()[: one.gguf.stat().st_size // 2])
    prompt = load_tokenizer(one.checkpoint)(PROMPTS[0])["input_ids"]
    jobs = [{"model": str(path), "texts": [], "prompts": [prompt], "count": COUNT} for path in (other.gguf, half)]
    wrong, none = EXPORTS["llama_cpp"](jobs)
    assert EXPORTS["strays"](load_model(one.checkpoint, torch.float32), prompt, wrong["answers"][0]) > 100 * NEAR
    assert "refused" in none


def test_trimming_changes_how_text_is_cut(answers: dict[str, dict[str, Any]]) -> None:
    """Trimmed tokenizers do cut some of these texts in more tokens: parity above is not that of the base's alone."""
    whole, trimmed = (answers[f"llama-{name}"]["ids"] for name in ("depth", "vocab"))
    assert sum(map(len, trimmed)) > sum(map(len, whole))
