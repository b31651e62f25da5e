"""The estimated peak, from configuration and headers."""

from __future__ import annotations

from typing import Any

from edgelm.check.look import Model, Package
from edgelm.check.memory import estimate
from edgelm.rules import Rules
from edgelm.submission import Submission


def parts(package: Any, rules: Rules) -> dict[str, int]:
    return estimate(Model(Package(Submission(package.path), rules, None), "base", "models/base"))


def test_whole_numbers_in_the_file_do_not_widen_cache_and_logits(package: Any, rules: Rules) -> None:
    def add_buffer(tensors: dict[str, Any]) -> None:
        import torch

        tensors["model.layers.0.attn.position_ids"] = torch.arange(4)

    before = parts(package, rules)
    package.edit_tensors(add_buffer)
    assert parts(package, rules) == before | {"weights": before["weights"] + 4 * 8}
