from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from edgelm.compress.base import Config
from edgelm.compress.costs import phone
from edgelm.compress.depth import Depth
from edgelm.compress.heal import Heal
from edgelm.compress.kv import Kv
from edgelm.compress.repair import Repair
from edgelm.compress.search.axes import AXES, probed
from edgelm.compress.search.candidates import SEARCHED, Space
from edgelm.compress.vocab import Vocab
from edgelm.compress.width import Width
from edgelm.errors import BadOption
from edgelm.plugins import parse, spec_of
from edgelm.shapes import shape_of


def llama(**changes: Any) -> Config:
    """Llama-3-8B's shape."""
    return {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256, "max_position_embeddings": 8192,
        **changes,
    }  # fmt: skip


def test_what_may_be_left_is_what_the_steps_agree_to() -> None:
    choices = {field: axis.choices(llama()) for field, axis in AXES.items()}
    assert choices["layers"] == list(range(32, 23, -1))
    assert choices["ffn"] == list(range(14336, 3583, -128))
    assert choices["kv_heads"] == [8, 4, 2, 1]
    assert choices["vocab"][0] == 128_256
    assert all(rows % 64 == 0 and rows >= 64_128 for rows in choices["vocab"])
    assert len(choices["vocab"]) == 11


def test_a_class_whose_keys_pass_a_norm_is_merged_by_mean() -> None:
    config = llama(model_type="qwen3", head_dim=128)
    assert AXES["kv_heads"].choices(config) == [8, 4, 2, 1]
    assert AXES["kv_heads"].step(shape_of(config), 4) == Kv(4, "mean")


def test_rows_that_have_a_meaning_elsewhere_are_no_choice() -> None:
    assert 49_152 not in AXES["vocab"].choices(llama(vocab_size=65_536))
    assert 49_216 in AXES["vocab"].choices(llama(vocab_size=65_536))


def test_an_axis_is_looked_at_within_its_ends() -> None:
    assert probed(AXES["ffn"].choices(llama())) == [10752, 7168, 3584]
    assert probed([8, 4, 2, 1]) == [4, 2, 1]
    assert probed([2, 1]) == [1]
    assert probed([2]) == []


def test_needs_are_those_of_the_shape() -> None:
    for config in (llama(), llama(model_type="phi", num_key_value_heads=32), llama(tie_word_embeddings=True)):
        every = list(Space.of(config).candidates(2, 4096, programs=()))
        for candidate in random.Random(1).sample(every, 40):
            shape = candidate.shape
            assert candidate.parameters == shape.parameters
            assert candidate.memory == phone.memory(shape, 2, 4096)
            assert candidate.read == phone.read_per_token(shape, 2, 4096)


def test_recipes_make_the_shapes_that_they_are_of() -> None:
    for fixed in ([], [Vocab(keep=65536)], [Kv(4)], [Width(8192), Depth(2)]):
        space = Space.of(llama(), fixed, (*SEARCHED, "vocab"))
        every = list(space.candidates(2))
        for candidate in random.Random(2).sample(every, 40):
            config = llama()
            for step in space.steps(candidate.shape):
                assert parse("compress", spec_of(step)) == step
                config = step.plan(config)
            assert shape_of(config) == candidate.shape


def test_steps_come_where_they_are_best_taken() -> None:
    space = Space.of(llama(), [Kv(4)], (*SEARCHED, "vocab"))
    smallest = min(space.candidates(2, programs=()), key=lambda candidate: candidate.parameters)
    assert [spec_of(step) for step in space.steps(smallest.shape)] == [
        "vocab:keep=64128", "depth:drop=8", "width:ffn=3584", "kv:heads=4"]  # fmt: skip


def test_what_takes_longer_comes_with_what_is_cut() -> None:
    space = Space.of(llama(), [Heal(1000)], thorough=True)
    smallest = min(space.candidates(2, programs=()), key=lambda candidate: candidate.parameters)
    assert [spec_of(step) for step in space.steps(smallest.shape)] == [
        "depth:drop=8,score=kl", "width:ffn=3584", "kv:heads=1", "repair", "heal:tokens=1000"]  # fmt: skip
    assert space.steps(shape_of(llama())) == [Heal(1000)]
    repaired = replace(space, fixed=(Repair(ridge=0.1),))
    assert [spec_of(step) for step in repaired.steps(smallest.shape)][-1] == "repair:ridge=0.1"


def test_what_is_given_is_not_searched() -> None:
    space = Space.of(llama(), [Depth(2), Kv(8)])
    assert space.choices["layers"] == [30]
    assert space.choices["kv_heads"] == [8, 4, 2, 1]  # a step that changes nothing gives nothing
    assert space.choices["vocab"] == [128_256]
    with pytest.raises(BadOption, match="force"):
        Space.of(llama(), [Depth(20)])


def test_programs_that_take_the_base_take_the_result() -> None:
    phi = llama(model_type="phi", intermediate_size=16384, num_key_value_heads=32)
    shapes = [candidate.shape for candidate in Space.of(phi).candidates(2, programs=("script",))]
    assert {shape.layers for shape in shapes} == set(range(24, 33))
    assert {(shape.ffn, shape.kv_heads) for shape in shapes} == {(16384, 32)}
    odd = llama(model_type="phi", intermediate_size=8192, num_key_value_heads=32)  # which the script does not take
    assert {candidate.shape.kv_heads for candidate in Space.of(odd).candidates(2, programs=("script",))} > {16, 32}
