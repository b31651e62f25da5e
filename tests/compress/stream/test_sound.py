from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from edgelm.checkpoint import Checkpoint
from edgelm.compress.stream import sound as module
from edgelm.compress.stream.sound import require_one_head, sound
from edgelm.errors import BadFile, Unsupported


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_refused(dtype: torch.dtype, value: float) -> None:
    tensor = torch.ones(3, 4, dtype=dtype)
    assert sound(tensor, "w") is tensor
    tensor[1, 2] = value
    with pytest.raises(BadFile, match="w holds infinities or NaN"):
        sound(tensor, "w")


def test_the_largest_numbers_are_numbers() -> None:
    tensor = torch.full((2, 2), torch.finfo(torch.float32).max)
    assert sound(tensor, "w") is tensor
    assert sound(torch.ones(0, 3), "w").numel() == 0


def test_a_second_head_is_refused_unless_it_is_the_embedding(
    make_checkpoint: Callable[..., Path], edit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROWS", 50)  # several blocks
    base = Checkpoint(make_checkpoint("llama", tied=True))
    require_one_head(base)
    require_one_head(Checkpoint(make_checkpoint("llama", tied=False)))

    def store(last: float) -> Callable[[dict[str, Tensor]], None]:
        def change(tensors: dict[str, Tensor]) -> None:
            tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
            tensors["lm_head.weight"][-1, -1] += last

        return change

    require_one_head(edit(base, store(0)))
    with pytest.raises(Unsupported, match=r"stores a lm_head\.weight that is not its embedding"):
        require_one_head(edit(base, store(1)))
