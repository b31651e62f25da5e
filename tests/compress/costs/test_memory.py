"""Memory: what a run is said to take, that a limit is kept, and that it does not grow with the number of layers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
