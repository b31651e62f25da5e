"""What the runner answers, against transformers: tokens, probabilities and logits, natively and under emulation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from edgelm.native.runner import Token, command, started

# Products are of halves, and so are the keys and values kept: a logit is right to about this share of their spread.
HALF, SINGLE = 4e-3, 1e-5
FAMILIES: list[tuple[str, dict[str, Any]]] = [
    ("llama", {}),
    ("llama", {"tied": True, "head_dim": 24, "intermediate_size": 90}),
    ("qwen2", {"num_hidden_layers": 3}),
    ("qwen3", {"tied": True}),
    ("phi", {"num_key_value_heads": 4, "partial_rotary_factor": 0.4, "hidden_size": 80}),
]


def prompts(count: int, longest: int = 70) -> list[list[int]]:
    torch.manual_seed(7)
    lengths = torch.randint(2, longest, (count,)).tolist()
    return [torch.randint(5, 300, (length,)).tolist() for length in lengths]


def load(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def logits_of(model: Any, ids: Sequence[int]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(torch.tensor([list(ids)])).logits[0]
    return found


def assert_greedy(model: Any, prompt: list[int], answer: list[int], near: float) -> None:
    """Every token is the likeliest behind those before it, or as good as that."""
    logits_TV = logits_of(model, [*prompt, *answer])[len(prompt) - 1 : -1]
    taken_T = logits_TV.gather(1, torch.tensor(answer)[:, None])[:, 0]
    spread = float(logits_TV.max() - logits_TV.min())
    assert float((logits_TV.max(1).values - taken_T).max()) <= near * spread


@pytest.mark.parametrize(("family", "settings"), FAMILIES)
@pytest.mark.parametrize("dtype", ["F16", "F32"])
def test_greedy_tokens_are_those_of_transformers(
    host_runner: Path, exported: Any, family: str, settings: dict[str, Any], dtype: str
) -> None:
    folder, file = exported(family, spec=f"gguf:dtype={dtype}", dtype="float16", **settings)
    model = load(folder)
    with started(command(str(host_runner), str(file), context=128, threads=1)) as runner:
        assert runner.ready.kv == dtype.lower()
        for prompt in prompts(8):
            done = runner.generate(prompt, 16, ignore_end=True)
            assert len(done.ids) == len(done.arrived_ns) == 16
            assert done.arrived_ns == sorted(done.arrived_ns)
            assert_greedy(model, prompt, done.ids, HALF if dtype == "F16" else SINGLE)
            if dtype == "F32":
                expected = model.generate(
                    torch.tensor([prompt]), max_new_tokens=16, min_new_tokens=16, do_sample=False, eos_token_id=None,
                    pad_token_id=0,
                )  # fmt: skip
                assert done.ids == expected[0, len(prompt) :].tolist()


def test_probabilities_are_those_of_transformers(host_runner: Path, exported: Any) -> None:
    folder, file = exported("llama", spec="gguf:dtype=F32")
    model = load(folder)
    with started(command(str(host_runner), str(file), context=256, threads=2)) as runner:
        for ids, start in ((prompts(1)[0], 1), (list(range(5, 245)), 100), (list(range(5, 120)), 114), ([9], 1)):
            logs_TV = logits_of(model, ids).log_softmax(-1)
            expected = [float(logs_TV[at - 1, ids[at]]) for at in range(start, len(ids))]
            found = runner.score(ids, start)
            assert found.logs == pytest.approx(expected, abs=2e-4)
            assert runner.score(ids, start, reuse=True).logs == pytest.approx(expected, abs=2e-4)
            best = [int(logs_TV[at - 1].argmax()) for at in range(start, len(ids))]
            assert found.greedy == (best == ids[start:])
        prompt = prompts(1)[0]
        answer = runner.generate(prompt, 8, ignore_end=True).ids
        assert runner.score(prompt + answer, len(prompt)).greedy
        assert not runner.score([*prompt, *answer[:-1], answer[-1] ^ 1], len(prompt)).greedy


def test_logits_come_highest_first(host_runner: Path, exported: Any) -> None:
    folder, file = exported("llama", spec="gguf:dtype=F32")
    expected = logits_of(load(folder), prompts(1)[0])[-1]
    with started(command(str(host_runner), str(file), context=128, threads=1)) as runner:
        found = runner.logits(prompts(1)[0], runner.ready.vocab)
        assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)
        assert [dict(found)[id] for id in range(len(expected))] == pytest.approx(expected.tolist(), abs=1e-3)
        again = runner.logits(prompts(1)[0], 3, reuse=True)
        assert [id for id, _ in again] == [id for id, _ in found[:3]]
        assert [value for _, value in again] == pytest.approx([value for _, value in found[:3]])


def test_a_kept_beginning_changes_no_answer(host_runner: Path, exported: Any) -> None:
    _, file = exported("qwen2", spec="gguf:dtype=F32")
    shared, ends = prompts(1)[0], prompts(4, 9)
    with started(command(str(host_runner), str(file), context=128, threads=1)) as runner:
        alone = [runner.generate(shared + end, 12, True).ids for end in ends]
        assert [runner.generate(shared + end, 12, True, reuse=True).ids for end in ends] == alone
        assert [runner.generate(shared, 12, True, reuse=True).ids] * 2 == [
            runner.generate(shared, 12, True, reuse=reuse).ids for reuse in (True, False)
        ]


def test_long_prompts_pass_in_batches(host_runner: Path, exported: Any) -> None:
    folder, file = exported("llama", spec="gguf:dtype=F32", max_position_embeddings=2048)
    prompt = [5 + at * 7 % 300 for at in range(1100)]
    with started(command(str(host_runner), str(file), context=1200, threads=2)) as runner:
        assert_greedy(load(folder), prompt, runner.generate(prompt, 4, True).ids, SINGLE)


def test_text_is_cut_as_the_tokenizer_cuts_it_and_put_together_again(host_runner: Path, exported: Any) -> None:
    folder, file = exported("llama")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = "The quick brown fox — 守株待兔 🙂\n<|im_start|>user it's"
    with started(command(str(host_runner), str(file), context=256, threads=1)) as runner:
        ids = runner.tokenize(text)
        assert ids == tokenizer(text)["input_ids"]
        assert runner.tokenize("") == []
        heard: list[Token] = []
        done = runner.generate(ids, 60, True, heard.append)
        assert [token.id for token in heard] == done.ids
        assert [token.ns for token in heard] == done.arrived_ns
        assert done.text.startswith("".join(token.text for token in heard))
        assert done.text == tokenizer.decode(done.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert done.prompt_tokens == len(ids)
        assert runner.generate(text, 5, True).ids == done.ids[:5]


def test_an_answer_ends_where_the_model_ends_it(host_runner: Path, exported: Any) -> None:
    _, file = exported("llama")
    prompt = prompts(1)[0]
    with started(command(str(host_runner), str(file), context=128, threads=1)) as runner:
        whole = runner.generate(prompt, 20, ignore_end=True)
        assert whole.finish == "length"
        end = whole.ids[7]
        cut = runner.generate(prompt, 20, ends=[end])
        assert (cut.ids, cut.finish) == (whole.ids[: whole.ids.index(end)], "stop")
        assert runner.generate(prompt, 20, ends=[]).ids == whole.ids
        assert 1 in runner.ready.eos  # <|eos|>


def test_the_emulated_runner_gives_the_same_tokens(emulated: list[str], exported: Any) -> None:
    for family, settings in FAMILIES:
        folder, file = exported(family, spec="gguf:dtype=F16", dtype="float16", **settings)
        words = [*emulated, *command(emulated[1], str(file), context=128, threads=1)[1:]]
        model = load(folder)
        with started(words) as runner:
            for prompt in prompts(3, 40):
                assert_greedy(model, prompt, runner.generate(prompt, 8, True).ids, HALF)
