from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Progress
from edgelm.compress.maths.depth_scores import least_turn, similarity
from edgelm.compress.stream.model import Model
from edgelm.stock import load_model


def test_similarity_is_that_of_the_models_own_states(
    checkpoint: Checkpoint, model: Model, batches: list[list[int]], silent: Progress
) -> None:
    found = similarity(model, batches[:1], 2, silent)
    network = load_model(checkpoint, torch.float32)
    states = network(torch.tensor(batches[:1]), output_hidden_states=True).hidden_states
    expected = [torch.cosine_similarity(states[n][0, 1:], states[n + 2][0, 1:]).mean().item() for n in range(2)]
    assert found[:2] == pytest.approx(expected, abs=1e-6)  # the last state is normalised by transformers


@pytest.mark.parametrize("standing", [0, 1])
def test_the_block_that_turns_least_goes(
    checkpoint: Checkpoint, opened: Any, batches: list[list[int]], silent: Progress, standing: int
) -> None:
    angles = [math.acos(cosine) / math.pi for cosine in similarity(opened(checkpoint), batches, 1 + standing, silent)]
    found = least_turn(opened(checkpoint), batches, range(standing, 4), 1, silent, standing=standing)
    assert found["scores"] == angles
    assert found["dropped"] == [angles.index(min(angles)) + standing]  # behind the one that stands for both
