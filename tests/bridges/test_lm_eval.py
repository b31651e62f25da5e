"""lm-eval's own evaluator on our engines: the figures that its own `hf` model gives."""

import json

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.errors import Offline, Unsupported
from edgelm.plugins import parse

pytestmark = pytest.mark.slow

harness = pytest.importorskip("lm_eval", reason="lm-eval is an extra")

KINDS = {
    "choices": {"output_type": "multiple_choice", "doc_to_text": "Q: {{q}}\nA:", "doc_to_choice": "{{choices}}",
                "doc_to_target": "{{gold}}", "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}]},
    "answers": {"output_type": "generate_until", "doc_to_text": "{{q}}", "doc_to_target": "{{choices[0]}}",
                "generation_kwargs": {"until": ["a"], "max_gen_toks": 12}, "metric_list": [{"metric": "exact_match"}]},
    "long": {"output_type": "generate_until", "doc_to_text": "{{text}}", "doc_to_target": "{{choices[0]}}",
             "generation_kwargs": {"until": ["a"], "max_gen_toks": 20}, "metric_list": [{"metric": "exact_match"}]},
    "rolling": {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{text}}",
                "metric_list": [{"metric": "byte_perplexity"}]},
}  # fmt: skip


@pytest.fixture(scope="module")
def model(make_checkpoint):
    return make_checkpoint("llama", num_hidden_layers=2, max_position_embeddings=64, dtype="float32")


@pytest.fixture(scope="module")
def manager(tmp_path_factory):
    """A task of each kind over rows of our own."""
    folder = tmp_path_factory.mktemp("tasks")
    words = ["fox", "dog", "the lazy", "jumps over", "1234", "守株待兔"]
    rows = [{"q": f"The quick {words[n]} brown", "choices": [f" {word}" for word in words[:4]], "gold": n % 4,
             "text": " ".join(words[n:] * (1 + 7 * n))} for n in range(len(words))]  # fmt: skip
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name, settings in KINDS.items():
        files = {"test": str(folder / "rows.jsonl")}
        task = {"task": f"own_{name}", "dataset_path": "json", "dataset_kwargs": {"data_files": files},
                "test_split": "test"}  # fmt: skip
        (folder / f"{name}.yaml").write_text(json.dumps(task | settings))  # JSON is YAML
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(folder))


def _run(lm, manager):
    """Results by task, and what was answered."""
    tasks = [f"own_{name}" for name in KINDS]
    found = harness.simple_evaluate(lm, tasks=tasks, task_manager=manager, bootstrap_iters=0)
    said = {name: [row["resps"] for row in rows] for name, rows in found["samples"].items()}
    figures = {(task, name): value for task, row in found["results"].items() for name, value in row.items()
               if isinstance(value, float)}  # fmt: skip
    return figures, said


@pytest.fixture(scope="module")
def theirs(model, manager):
    from lm_eval.models.huggingface import HFLM

    return _run(HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=1), manager)


@pytest.mark.parametrize("engine", ["hf:batch=1,truncate=room", "local:truncate=room"])
def test_figures_and_answers_equal_those_of_lm_evals_own_model(model, manager, theirs, engine):
    from edgelm.bridges.lm_eval import SessionLM

    with parse("engines", engine).open(Checkpoint(model), "base") as session:
        figures, said = _run(SessionLM(session), manager)
    assert figures == pytest.approx(theirs[0], rel=1e-4)
    assert said["own_answers"] == theirs[1]["own_answers"]
    assert said["own_long"] == theirs[1]["own_long"]
    assert len({answer for ((answer,),) in said["own_answers"]}) > 1, "equality of the same answer would mean little"
    for ours, others in zip(said["own_choices"], theirs[1]["own_choices"], strict=True):
        for ((log, greedy),), ((their_log, their_greedy),) in zip(ours, others, strict=True):
            assert float(log) == pytest.approx(float(their_log), abs=1e-3) and str(greedy) == str(their_greedy)


def test_sampled_answers_are_refused(model):
    from lm_eval.api.instance import Instance

    from edgelm.bridges.lm_eval import SessionLM

    asked = Instance("generate_until", {}, ("The quick", {"do_sample": True, "temperature": 0.7}), 0)
    with parse("engines", "hf").open(Checkpoint(model), "base") as session, pytest.raises(Unsupported, match="sampled"):
        SessionLM(session).generate_until([asked])


def test_a_continuation_beyond_the_context_is_refused_and_one_that_fills_it_is_weighed(model):
    from lm_eval.api.instance import Instance

    from edgelm.bridges.lm_eval import SessionLM

    whole, longer = (Instance("loglikelihood", {}, ("The", " fox" * number), 0) for number in (64, 65))
    with parse("engines", "local").open(Checkpoint(model), "base") as session:
        lm = SessionLM(session)
        assert len(lm.loglikelihood([whole], disable_tqdm=True)) == 1
        with pytest.raises(Unsupported, match="65 tokens is longer than the context of 64"):
            lm.loglikelihood([whole, longer], disable_tqdm=True)


def test_data_that_cannot_be_had_is_named(model, tmp_path, monkeypatch):
    from edgelm.cli.lm_eval import lm_eval

    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    files = {"data_files": {"test": str(tmp_path / "no.jsonl")}}
    task = {"task": "far", "dataset_path": "json", "dataset_kwargs": files, "test_split": "test", **KINDS["answers"]}
    (tmp_path / "far.yaml").write_text(json.dumps(task))
    with pytest.raises(Offline, match="the data of far cannot be had") as caught:
        lm_eval(model, tmp_path / "out", ["far"], engine="hf", include=tmp_path)
    assert "no.jsonl" in caught.value.why and not (tmp_path / "out").exists()
