"""llama.cpp's own converter takes and refuses what `costs/exports.py` says, and what it writes is run."""

from __future__ import annotations

import runpy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

EXPORTS = runpy.run_path(str(Path(__file__).parents[3] / "benchmarks" / "exports.py"))
# A plan for each way to be refused, and the shapes that look as if they should be. Qwen2's tokenizer is large: one row.
CHOSEN = {
    ("llama", "vocab"), ("llama", "hidden, D′ ≠ H·K"), ("llama", "biases in attention and feed-forward"),
    ("qwen2", "hidden alone"), ("qwen3", "hidden, H does not divide D′"), ("phi", "ffn ≠ 4·D"), ("phi", "kv"),
    ("phi", "hidden with H′ = D′/K and F′ = 4·D′"), ("phi", "hidden alone"), ("phi", "tied"),
}  # fmt: skip


@pytest.fixture(scope="module")
def rows(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    if not (EXPORTS["SOURCE"] / "source").is_dir() or find_spec("xllamacpp") is None:
        pytest.skip("llama.cpp or its converter is not there (scripts/llama-cpp, pip install xllamacpp)")
    folder = shared / "data" / "tokenizers"
    tokenizers = EXPORTS["Tokenizers"](folder / "phi-2", folder / "qwen-7b" / "qwen.tiktoken")
    plans = [plan for plan in EXPORTS["PLANS"] if plan[:2] in CHOSEN]
    assert len(plans) == len(CHOSEN)
    return list(EXPORTS["matrix"](plans, tokenizers, tmp_path_factory.mktemp("converter")))


@pytest.mark.slow
def test_as_foretold(rows: list[Any]) -> None:
    for row in rows:
        assert EXPORTS["agrees"](row.foretold.script, row.script), row
        assert EXPORTS["agrees"](row.foretold.runtime, row.runtime), row


@pytest.mark.slow
def test_the_reasons_are_the_programs_own(rows: list[Any]) -> None:
    said = {(row.family, row.change): row.script for row in rows}
    assert "pre-tokenizer was not recognized" in said["llama", "vocab"]
    assert "attn_q.weight" in said["qwen2", "hidden alone"]
    assert "ffn_down.weight" in said["phi", "ffn ≠ 4·D"]
    assert "attn_k.weight" in said["phi", "kv"]
    assert "output.weight" in said["phi", "tied"]
    assert {row.runtime for row in rows if row.change != "hidden alone"} == {"yes"}
