from __future__ import annotations

from typing import Any

from edgelm.compress.base import Config
from edgelm.compress.depth import Depth
from edgelm.compress.search.candidates import Space
from edgelm.compress.search.curves import Curve
from edgelm.compress.search.found import Found
from edgelm.compress.search.limits import Limit, limit_of
from edgelm.compress.search.ranking import within
from edgelm.compress.vocab import Vocab
from edgelm.compress.width import Width

LLAMA: Config = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256, "max_position_embeddings": 8192,
}  # fmt: skip
FLAT_DEPTH = {"layers": Curve.through({32: 0.0, 24: 0.1}), "ffn": Curve.through({14336: 0.0, 3584: 9.0}),
              "kv_heads": Curve.through({8: 0.0, 1: 50.0})}  # fmt: skip
FLAT_FFN = FLAT_DEPTH | {"layers": Curve.through({32: 0.0, 24: 50.0})}


def found(limit: Limit, curves: Any, *fixed: Any, config: Config = LLAMA) -> Found:
    space = Space.of(config, fixed)
    return Found.of(space, within(space.candidates(2, limit.context), limit), curves, limit)


def test_the_cheaper_axis_is_cut() -> None:
    fit = found(limit_of("12GB"), FLAT_DEPTH)
    assert fit.line.startswith("depth:drop=8 width:ffn=")
    assert found(limit_of("12GB"), FLAT_FFN).line.startswith("width:ffn=")
    assert fit.best.candidate.memory <= 9 * 10**9 < fit.best.candidate.memory + 2 * 3 * 4096 * 128 * 2 * 24


def test_a_number_of_parameters_is_met_from_below() -> None:
    made = found(limit_of(parameters="5B"), FLAT_FFN)
    step = 3 * 4096 * 128
    for choice in made.ranked:
        short = 5 * 10**9 - choice.candidate.parameters
        assert 0 <= short < step * choice.candidate.shape.layers
    assert {choice.candidate for choice in made.front} <= {choice.candidate for choice in made.ranked}
    assert made.front[0] == made.best


def test_below_a_memory_every_shape_is_an_alternative() -> None:
    made = found(limit_of("12GB"), FLAT_DEPTH)
    assert made.front[0] == made.best
    assert made.front[-1].candidate.read < 0.7 * made.best.candidate.read
    costs = [(choice.candidate.read, choice.cost) for choice in made.front]
    assert costs == sorted(costs, key=lambda pair: (-pair[0], pair[1]))
    columns, rows = made.table()
    assert columns[-1] == ">expected"
    assert len(rows) == 12
    assert rows[0][0] == made.line


def test_a_base_that_fits_is_left_as_it_is() -> None:
    made = found(limit_of("40GB"), FLAT_DEPTH)
    assert (made.line, made.steps, made.best.error) == ("", [], 0)
    assert made.table()[1][0][0] == "as it is"


def test_fixed_steps_are_in_the_recipe() -> None:
    assert found(limit_of("12GB"), FLAT_DEPTH, Vocab(keep=65536)).line.startswith("vocab:keep=65536 depth:drop=8 width")
    assert found(limit_of("12GB"), FLAT_DEPTH, Width(6144)).line == "depth:drop=6 width:ffn=6144"
    assert found(limit_of("12GB"), FLAT_FFN, Depth(2)).line.startswith("depth:drop=2 width:ffn=")


def test_what_was_measured_decides() -> None:
    made = found(limit_of("12GB"), FLAT_DEPTH)
    again = made.measured([2.0, None, 1.0])
    assert [choice.kl for choice in again.ranked] == [1.0, 2.0]
    assert again.best.candidate == made.ranked[2].candidate
    assert again.table()[0][-1] == ">KL"
    assert again.facts()["alternatives"][0] == {
        "recipe": again.line, "parameters": again.best.candidate.parameters, "memory": again.best.candidate.memory,
        "read": again.best.candidate.read, "error": made.ranked[2].error, "kl": 1.0}  # fmt: skip
