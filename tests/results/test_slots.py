"""Rows and slots: names, families, means, and rows that fit nowhere."""

import pytest

from edgelm.results.base import MEAN
from edgelm.results.slots import assign, slot_of

SLOTS = ("phi-2", "llama-3-8b", "qwen-7b")


@pytest.mark.parametrize(("name", "slot"), [
    ("phi-2", "phi-2"), ("Phi_2", "phi-2"), ("Phi", "phi-2"), ("Llama3", "llama-3-8b"),
    ("Qwen2-7B-Instruct", "qwen-7b"), ("Llama-3-8B-Instruct-pruned", "llama-3-8b"),
    ("Sparse-Llama", None), ("gpt", None), ("", None), ("7b", None),
])  # fmt: skip
def test_the_slot_that_a_name_means(name, slot):
    assert slot_of(name, SLOTS) == slot


def test_a_name_that_may_mean_two_slots_means_none():
    assert slot_of("llama", ["llama-3-8b", "llama-2-7b"]) is None


@pytest.mark.parametrize(("labels", "slots", "found", "notes"), [
    (["qwen-7b", "phi-2", "llama-3-8b"], SLOTS, ["qwen-7b", "phi-2", "llama-3-8b"], 0),
    ([""], SLOTS, [MEAN], 1), (["mean"], SLOTS, [MEAN], 1), (["our models"], SLOTS, [MEAN], 1),
    (["", "", ""], SLOTS, list(SLOTS), 1), (["", ""], SLOTS, [None, None], 5), (["Phi"], SLOTS, ["phi-2"], 3),
    (["phi-2", "Phi", "x"], SLOTS, ["phi-2", None, None], 4), (["nano"], ("model",), ["model"], 1),
    ([""], ("model",), ["model"], 0), (["a", "b"], (), [None, None], 0), ([], SLOTS, [], 3),
])  # fmt: skip
def test_rows_take_their_slots_and_what_does_not_fit_is_said(labels, slots, found, notes):
    assigned, said = assign(labels, slots)
    assert assigned == found
    assert len(said) == notes and {note.code for note in said} <= {"CLM-07"}
