"""Storage dtypes: what is a spared buffer, at the cost of one look at each tensor."""

from __future__ import annotations

from typing import Any

import pytest

from edgelm.check.run import check
from edgelm.headers import Tensor
from edgelm.rules import Rules


def test_tensors_are_not_compared_with_each_other(package: Any, rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bool:
        raise AssertionError("a hundred thousand tensors would take hours")

    def add_buffers(tensors: dict[str, Any]) -> None:
        import torch

        tensors.update({f"model.layers.{layer}.attn.position_ids": torch.arange(4) for layer in range(3)})

    package.edit_tensors(add_buffers)
    monkeypatch.setattr(Tensor, "__eq__", refuse)
    (found,) = [finding for finding in check(package.path, rules) if finding.code.startswith("DTY")]
    assert (found.code, found.what[:16]) == ("DTY-05", "3 tensors of I64")
