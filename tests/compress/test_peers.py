"""The peers of `benchmarks/compress.py` cut what they say, and the judge is fair: on a tiny model, in memory."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.stock import load_model

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
OWN = ["random_", "magnitude", "shortgpt", "flap", "slicegpt", "llm_pruner"]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name in [name for name in sys.modules if name == "peers" or name.startswith("peers.")]:
        del sys.modules[name]


@pytest.fixture
def network(make_checkpoint: Any) -> Any:
    return load_model(Checkpoint(make_checkpoint("llama")), torch.float32).eval()


@pytest.mark.parametrize("name", OWN)
def test_a_peer_removes_its_share_and_runs(network: Any, batches: list[list[int]], name: str) -> None:
    peer, tools = import_module(f"peers.{name}"), import_module("peers.network")
    seen = peer.look(network, batches)
    for variant in peer.VARIANTS:
        cut = copy.deepcopy(network)
        peer.cut(cut, seen, 0.25, 0, variant)
        removed = 1 - tools.backbone(cut) / tools.backbone(network)
        assert removed == pytest.approx(0.25, abs=0.05 if name in ("slicegpt", "flap") else 0.01), variant
        assert bool(torch.isfinite(cut(tools.ids(batches[0], cut), use_cache=False).logits).all())


def test_the_judge_knows_the_base_and_slicing_nothing_changes_nothing(network: Any, batches: list[list[int]]) -> None:
    judge = import_module("peers.judge").Judge(network, {"one": batches[:2], "two": batches[2:4]})
    assert judge(network)["mean"]["kl"] == pytest.approx(0, abs=1e-9)
    slicegpt, same = import_module("peers.slicegpt"), copy.deepcopy(network)
    slicegpt.cut(same, batches, 0.0, 0, slicegpt.FREE)
    assert judge(same)["mean"]["kl"] == pytest.approx(0, abs=1e-6)
    random, worse = import_module("peers.random_"), copy.deepcopy(network)
    random.cut(worse, None, 0.5, 0, "channels")
    assert judge(worse)["one"]["kl"] > 1e-3


def test_flap_drops_what_does_not_fluctuate(network: Any, batches: list[list[int]]) -> None:
    """Every second channel is made to say next to nothing: these go, and nothing is lost."""
    judge, flap = import_module("peers.judge"), import_module("peers.flap")
    with torch.no_grad():
        for layer in network.model.layers:
            layer.mlp.up_proj.weight[::2] *= 1e-4
    cut = copy.deepcopy(network)
    flap.cut(cut, flap.look(cut, batches), 0.2, 0, "uniform channels")
    assert judge.Judge(network, {"one": batches})(cut)["mean"]["kl"] < 1e-4


def test_the_table_is_of_means_and_spreads_the_nearest_first() -> None:
    table = import_module("compress").table
    sys.modules.pop("compress")

    def row(method: str, seed: int, kl: float | None) -> dict[str, Any]:
        one = {"loss": 1.0, "kl": kl, "perplexity": 2.7}
        return {"method": method, "asked": 0.25, "seed": seed, "removed": 0.25, "seconds": 1.0, "variant": "v",
                "quality": None if kl is None else {"c4": one, "mean": one}}  # fmt: skip

    lines = table(
        [row("a", 0, 0.5), row("a", 1, 0.7), row("b", 0, 0.1), row("b", 1, 0.1), row("c", 0, None)]
    ).splitlines()
    assert [line.split("|")[2].strip() for line in lines[2:]] == ["b", "a", "c"]
    assert "0.600 ± 0.141" in lines[3]
    assert "–" in lines[4]
