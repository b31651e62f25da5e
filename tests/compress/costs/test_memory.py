"""Memory: what a run is said to take, that a limit is kept, and that it does not grow with the number of layers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.compress.costs import memory
from edgelm.compress.costs.memory import LEAST, within
from edgelm.errors import BadOption


def needed(tokens: int) -> int:
    return 10**9 + 1000 * tokens


@pytest.mark.parametrize(("limit", "tokens"), [(None, 9000), (2 * 10**9, 9000), (10**9 + 5_000_999, 5000)])
def test_tokens_are_as_many_as_fit(limit: int | None, tokens: int) -> None:
    assert within(limit, 9000, needed) == tokens


def test_a_limit_too_small_for_any_run_names_one_that_is_not() -> None:
    with pytest.raises(BadOption, match="too little") as caught:
        within(10**9, 9000, needed)
    assert "1.1GB" in caught.value.mend
    assert within(int(1.1e9), 9000, needed) > LEAST


@pytest.mark.parametrize(("config", "layers", "vocab", "ffn", "taken"), [
    ({"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
      "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256, "max_position_embeddings": 8192},
     28, 65_536, 9216, 22.86e9),
    ({"model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
      "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152_064, "max_position_embeddings": 32768},
     24, 76_032, 9472, 22.39e9),
    ({"model_type": "phi", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 32,
      "num_attention_heads": 32, "vocab_size": 51_200, "max_position_embeddings": 2048}, 28, 32_768, 8192, 19.21e9),
], ids=["llama-3-8b", "qwen2-7b", "phi-2"])  # fmt: skip
def test_what_three_runs_on_a_gpu_took_of_the_host_is_said(
    config: dict[str, Any], layers: int, vocab: int, ffn: int, taken: float
) -> None:
    """As measured on an H200, with 262,144 tokens out of 0.14 GB of text (docs/benchmarks.md)."""
    trimmed = {**config, "vocab_size": vocab}
    shallow = {**trimmed, "num_hidden_layers": layers}
    configs = [trimmed, shallow, {**shallow, "intermediate_size": ffn}]
    said = memory.peak(config, configs, 262_144, 2, text=140_924_820, gpu=True)
    assert taken < said < 1.05 * taken


SOLVED = """
import sys, torch
from edgelm.compress import channels
from edgelm.devices.meters import host_peak
channels.DOUBLE_BELOW, inputs, outputs, share, score = 0, *map(int, sys.argv[1:4]), sys.argv[4]
weight_DF, a_TF = torch.randn(outputs, inputs), torch.randn(64, inputs)
torch.linalg.solve(torch.cholesky_inverse(torch.eye(64)), torch.eye(64))  # what that loads is not counted
before = host_peak()
sums = channels.Moments(weight_DF, centred=True, layer=0)
sums.add(a_TF, a_TF, [64])
kept = sums.keep(share * inputs // 100, score)
sums.error(kept, sums.refit(kept))
print(host_peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("share", "score"), [(5, "obs"), (50, "obs"), (98, "obs"), (98, "wact")])
def test_choosing_channels_takes_what_is_said(monkeypatch: pytest.MonkeyPatch, share: int, score: str) -> None:
    """In percent of the channels; in single precision, as all of a large model's are."""
    monkeypatch.setattr(memory, "DOUBLE_BELOW", 0)
    wide = {"model_type": "llama", "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 2,
            "num_attention_heads": 12, "vocab_size": 100, "max_position_embeddings": 64}  # fmt: skip
    narrow = {**wide, "intermediate_size": 1024}
    said = memory.peak(wide, [narrow], 0, 2) - memory.peak(wide, [wide], 0, 2)
    command = [sys.executable, "-c", SOLVED, "3072", "768", str(share), score]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**18), "OMP_NUM_THREADS": "1"}  # as of larger matrices
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert 0.7 * said < int(done.stdout) <= 1.02 * said


def run(base: Path, out: Path, memory: str) -> dict[str, Any]:
    """The card of a compression in a process of its own."""
    command = [sys.executable, "-m", "edgelm", "compress", str(base), "width:ffn=1024", "-o", str(out), "--offline",
               "--memory", memory, "--calib-tokens", "1024", "--seq", "128"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return dict(json.loads((out / "card.json").read_text()))


@pytest.mark.slow
def test_the_limit_is_kept_and_layers_cost_nothing(make_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    wide = {"hidden_size": 128, "intermediate_size": 2048, "num_attention_heads": 4}
    cards = [run(make_checkpoint(num_hidden_layers=layers, **wide), tmp_path / str(layers), "1.1GB")
             for layers in (4, 8)]  # fmt: skip
    few, many = (card["memory"]["resident"] for card in cards)
    assert max(few, many) < 1.1e9
    assert many < 1.1 * few
