from __future__ import annotations

from typing import Any

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Progress
from edgelm.compress.heal import Heal
from edgelm.compress.healing.block import heal_layers, relative_error
from edgelm.errors import Unsupported


def test_all_tokens_count_alike() -> None:
    wanted = torch.tensor([[100.0, 0.0], [0.0, 1.0]])
    assert relative_error(1.1 * wanted, wanted).item() == pytest.approx(0.02, rel=1e-4)
    assert relative_error(wanted, wanted) == 0


def test_a_model_that_is_its_base_stays_as_it_is(
    checkpoint: Checkpoint, opened: Any, batches: list[list[int]], silent: Progress
) -> None:
    model, teacher = opened(checkpoint), opened(checkpoint)
    curves = heal_layers(model, teacher, batches, Heal(tokens=1000), 0.5, silent)
    assert curves == [[0.0, 0.0]] * 4
    for name in model.names:
        assert torch.equal(model.outer(name), teacher.outer(name))


def test_a_gap_is_closed_by_the_layer_before_it(
    checkpoint: Checkpoint, opened: Any, batches: list[list[int]], silent: Progress
) -> None:
    model, teacher = opened(checkpoint), opened(checkpoint)
    model.keep_layers([0, 1, 3])
    curves = heal_layers(model, teacher, batches, Heal(tokens=6_000, batch=2), 3e-3, silent)
    assert curves[0][0] == 0
    assert curves[1][-1] < 0.9 * curves[1][0]


def test_a_narrower_stream_of_no_known_basis_is_refused(
    checkpoint: Checkpoint, opened: Any, batches: list[list[int]], silent: Progress
) -> None:
    model = opened(checkpoint)
    model.config = {**model.config, "hidden_size": 32}
    with pytest.raises(Unsupported, match="narrower") as caught:
        heal_layers(model, opened(checkpoint), batches, Heal(tokens=1000), 1e-3, silent)
    assert "full" in caught.value.mend
