"""Turns and their two renderings."""

from edgelm.chat import Prompt, Turn, ask

SHOTS = (Turn("user", "Q1"), Turn("assistant", "A1\n"))


def test_every_user_turn_of_a_chat_ends_with_one_newline_more():
    assert ask("Q2\n", SHOTS).messages() == [
        {"role": "user", "content": "Q1\n"}, {"role": "assistant", "content": "A1\n"},
        {"role": "user", "content": "Q2\n\n"},
    ]  # fmt: skip


def test_the_base_rendering_joins_by_newlines_without_one_at_the_end():
    assert ask("Q2", SHOTS).base_text() == "Q1\nA1\n\nQ2"
    assert ask("Q2").base_text() == "Q2"


def test_empty_turns_are_left_out_of_both():
    prompt = Prompt((Turn("user", ""), Turn("assistant", ""), Turn("user", "Q")))
    assert prompt.messages() == [{"role": "user", "content": "Q\n"}]
    assert prompt.base_text() == "Q"


def test_the_start_is_for_the_base_rendering_alone():
    prompt = Prompt((Turn("user", "Q"),), base_start="\n")
    assert prompt.base_text() == "\nQ"
    assert prompt.messages() == ask("Q").messages()
