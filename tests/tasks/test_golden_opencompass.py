"""Prompts, answers and marks equal to those of a real OpenCompass 0.3.1, set by set.

A data set of OpenCompass is a task here, or one subset of it. Its rows are the task's rows in the same order, but for
TruthfulQA: OpenCompass was run on an edition that lacks the first two questions and the last two.
"""

import hashlib
import json

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.engines.base import Request
from edgelm.engines.hf import HF
from edgelm.engines.local import Local
from edgelm.plugins import parse
from edgelm.report import FULL_MARK
from edgelm.tasks.bbh import SETS

SPECS = {
    "gsm8k": "gsm8k", "commonsense_qa": "commonsenseqa", "chid-test": "chid", "chid-dev": "chid:split=dev",
    "truthful_qa": "truthfulqa", **{f"bbh-{name}": f"bbh:subsets={name}" for name in SETS},
}  # fmt: skip
ROWS = {"truthful_qa": slice(2, 815)}
# The plain one as OpenCompass ran
ENGINES = [HF(batch=8, dtype="float32", device="cpu"), Local(dtype="float32", device="cpu")]


@pytest.fixture(scope="module")
def rows(upstream):
    """`rows("bbh-snarks")`: the task of a data set, and its samples in OpenCompass's order."""

    def load(name):
        task = parse("tasks", SPECS[name])
        return task, task.samples(upstream)[ROWS.get(name, slice(None))]

    return load


def _sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("name", SPECS)
def test_prompts_of_all_rows(rows, golden, name):
    wanted = golden("prompt_hashes")[name]
    _, samples = rows(name)
    assert len(samples) == wanted["rows"]
    assert len({sample.id for sample in samples}) == len({sample.index for sample in samples}) == len(samples)
    chats = [sample.prompt.messages() for sample in samples]
    assert _sha256("\0".join(sample.prompt.base_text() for sample in samples)) == wanted["base_prompts_sha256"]
    assert _sha256(json.dumps(chats, ensure_ascii=False)) == wanted["chat_messages_sha256"]


@pytest.mark.parametrize("name", SPECS)
def test_marks_row_by_row(rows, golden, name):
    (task, samples), answers, results = rows(name), golden(f"chat/{name}"), golden(f"chat_results/{name}")
    answered = [(samples[int(row)], answer["prediction"]) for row, answer in answers.items()]
    marks = task.score_all(answered)
    if name == "truthful_qa":  # it has no marks of single rows
        assert {figure: float(value) for figure, value in task.figures(answered).items()}.items() <= results.items()
    else:
        details = [results["details"][row] for row in answers]
        assert [mark == FULL_MARK for mark in marks] == [row["predictions"] == row["references"] for row in details]
        subset = answered[0][0].subset
        score = results["accuracy" if "accuracy" in results else "score"]
        assert float(task.aggregate({subset: marks})) == pytest.approx(score)


@pytest.mark.parametrize(("name", "file", "model"), [
    *((name, f"chat/{name}", "tiny-chatml") for name in SPECS),
    pytest.param("gsm8k", "gsm8k64_chaos_chat_bs8", "tiny-chaos", marks=pytest.mark.slow),
])  # fmt: skip
@pytest.mark.parametrize("engine", ENGINES, ids=["hf", "local"])
def test_answers_are_byte_equal(shared, rows, golden, engine, name, file, model):
    (task, samples), wanted = rows(name), golden(file)
    requests = [Request(row, int(row), samples[int(row)].prompt, task.max_tokens, task.stop) for row in wanted]
    checkpoint = Checkpoint(shared / "oracle/models" / model)
    with engine.open(checkpoint, "chat") as session:
        replies = {reply.key: reply.text for group in session.answer(requests) for reply in group}
    assert replies == {row: answer["prediction"] for row, answer in wanted.items()}
