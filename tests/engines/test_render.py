"""From prompts to ids: which part of a prompt that is too long is left."""

import json
import shutil

import pytest
from tokenizers.processors import TemplateProcessing

from edgelm.chat import ask
from edgelm.checkpoint import Checkpoint
from edgelm.engines.base import Request
from edgelm.engines.render import Rendering
from edgelm.errors import BadFile, BadOption, Unsupported
from edgelm.plugins import parse

CONTEXT = 64
LONG = " ".join(str(number) for number in range(200))


@pytest.fixture(scope="module")
def checkpoint(make_checkpoint):
    return Checkpoint(make_checkpoint("llama", num_hidden_layers=1, max_position_embeddings=CONTEXT))


def _ids(rendering, text, max_tokens):
    return rendering.prompt_ids(Request("k", 0, ask(text), max_tokens))


@pytest.mark.parametrize("prompting", ["chat", "base"])
def test_left_keeps_the_end_and_no_room_for_the_answer(checkpoint, prompting):
    rendering = Rendering(checkpoint, prompting)
    whole = rendering.ids(rendering.text(ask(LONG)))
    assert len(whole) > CONTEXT
    assert _ids(rendering, LONG, 20) == _ids(rendering, LONG, 100) == whole[-CONTEXT:]


def test_left_keeps_the_special_token_that_begins_a_base_prompt(checkpoint):
    rendering = Rendering(checkpoint, "base")
    begin = rendering.tokenizer.bos_token
    rendering.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{begin} $A", special_tokens=[(begin, rendering.tokenizer.bos_token_id)]
    )
    whole = rendering.ids(LONG)
    assert whole[0] == rendering.tokenizer.bos_token_id
    assert _ids(rendering, LONG, 20) == [whole[0], *whole[-CONTEXT + 1 :]]
    assert _ids(rendering, "fox", 20) == rendering.ids("fox"), "a long prompt leaves no trace"


@pytest.mark.parametrize(("max_tokens", "half"), [(20, 22), (21, 21), (60, 2), (61, 1), (62, 1)])
def test_mid_keeps_two_equal_ends_of_what_left_would_keep(checkpoint, max_tokens, half):
    left, mid = Rendering(checkpoint, "chat"), Rendering(checkpoint, "chat", "mid")
    kept = _ids(left, LONG, max_tokens)
    assert _ids(mid, LONG, max_tokens) == kept[:half] + kept[-half:]


def test_mid_leaves_alone_what_leaves_room_for_the_answer(checkpoint):
    rendering = Rendering(checkpoint, "chat", "mid")
    whole = rendering.ids(rendering.text(ask("The quick brown fox")))
    room = CONTEXT - len(whole)
    assert _ids(rendering, "The quick brown fox", room) == whole
    assert len(_ids(rendering, "The quick brown fox", room + 1)) == (len(whole) - 1) // 2 * 2


def test_mid_cuts_each_prompt_by_itself(checkpoint):
    with parse("engines", "hf:truncate=mid").open(checkpoint, "chat") as session:
        requests = [Request(text, number, ask(text), 8) for number, text in enumerate((LONG, "fox"))]
        (replies,) = session.answer(requests)
    assert [reply.prompt_tokens for reply in replies] == [56, len(session.rendering.ids(session.text(ask("fox"))))]


@pytest.mark.parametrize("max_tokens", [CONTEXT - 1, CONTEXT, CONTEXT + 1])
def test_mid_without_room_is_refused(checkpoint, max_tokens):
    with pytest.raises(Unsupported, match=f"an answer of {max_tokens} tokens leaves no room in a context of {CONTEXT}"):
        _ids(Rendering(checkpoint, "chat", "mid"), LONG, max_tokens)


@pytest.mark.parametrize(("context", "continuation", "weighed"), [
    ("The", " fox", " fox"), ("The ", "fox", " fox"), ("The quick brown fox ju", "mps over", " jumps over"),
    ("The", "", ""), ("", "fox", "fox"), ("T", "he", "The"),
])  # fmt: skip
def test_a_continuation_is_weighed_with_the_letters_before_it_that_share_its_first_token(
    checkpoint, context, continuation, weighed
):
    rendering = Rendering(checkpoint, "base")
    ids, own = rendering.pair_ids(context, continuation)
    assert rendering.tokenizer.decode(ids[len(ids) - own :]) == weighed
    assert own < len(ids), "there is something before it"


def test_nothing_is_asked_as_the_token_that_begins_a_text(checkpoint):
    rendering = Rendering(checkpoint, "base")
    assert _ids(rendering, "", 4) == [rendering.tokenizer.bos_token_id]
    assert rendering.pair_ids("", "") == ([rendering.tokenizer.bos_token_id], 0)


@pytest.mark.parametrize(("name", "settings", "named"), [
    ("generation_config.json", {"repetition_penalty": 0}, "repetition_penalty"),
    ("generation_config.json", {"repetition_penalty": "much"}, "repetition_penalty"),
    ("generation_config.json", {"eos_token_id": "<|eos|>"}, "eos_token_id"),
    ("config.json", {"max_position_embeddings": 10**30}, "context length"),
])  # fmt: skip
def test_settings_that_mean_nothing_are_named(checkpoint, tmp_path, name, settings, named):
    copy = shutil.copytree(checkpoint.path, tmp_path / "copy")
    (copy / name).write_text(json.dumps(json.loads((copy / name).read_bytes()) | settings))
    with pytest.raises(BadFile, match=named):
        Rendering(Checkpoint(copy), "base")


def test_room_keeps_the_end_of_what_leaves_room_for_the_answer(checkpoint):
    left, room = Rendering(checkpoint, "chat"), Rendering(checkpoint, "chat", "room")
    assert _ids(room, LONG, 20) == _ids(left, LONG, 20)[-(CONTEXT - 20) :]
    assert _ids(room, "fox", 20) == _ids(left, "fox", 20)


def test_what_goes_beyond_learned_positions_is_refused_before_it_is_asked(checkpoint):
    rendering = Rendering(checkpoint, "base")
    rendering.learned_positions = True
    assert _ids(rendering, "fox", 20) == rendering.ids("fox")
    with pytest.raises(Unsupported, match="64 positions") as caught:
        _ids(rendering, LONG, 20)
    assert "truncate=room" in caught.value.mend
    with pytest.raises(Unsupported, match="leaves no room") as caught:
        _ids(rendering, LONG, CONTEXT)
    assert "truncate=" not in caught.value.mend, "neither way would help"


def test_a_cap_that_leaves_no_answer_is_refused():
    with pytest.raises(BadOption, match="a cap of 0"):
        Request("k", 0, ask("fox"), 0)
