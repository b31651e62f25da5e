"""Ray actors as workers: the same report as from one process, also when one of two is killed."""

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.errors import MissingPackage, Unsupported
from edgelm.evaluate.run import evaluate
from edgelm.evaluate.workers import Workers
from edgelm.files import JsonLog
from edgelm.plugins import parse

TWO = Workers(2, "ray")


@pytest.fixture(scope="module")
def cluster():
    """A small cluster for all tests of this file, whose nodes find what the tests find."""
    ray = pytest.importorskip("ray")
    import sys
    from pathlib import Path

    path = ":".join([str(Path(__file__).parent), *filter(None, sys.path)])
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False,
             runtime_env={"env_vars": {"PYTHONPATH": path}})  # fmt: skip
    yield ray
    ray.shutdown()


@pytest.fixture
def run(tiny, suite, tmp_path, parrot):
    """Evaluate two tasks of the miniature suite."""

    def go(engine, out="report", **options):
        tasks = [(parse("tasks", name), suite) for name in ("gsm8k", "chid")]
        return evaluate(Checkpoint(tiny), tasks, engine, tmp_path / out, **options)

    return go


def test_without_the_package_the_mend_is_its_extra(run, parrot, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingPackage, match=r"\[ray\]"):
        run(parrot.Parrot(), workers=TWO)


@pytest.mark.slow
def test_two_workers_give_the_report_of_one_process(cluster, run, parrot, tmp_path, finished):
    run(parrot.Parrot(), "two", workers=TWO)
    assert not parrot.Parrot.asked, "nothing was asked in this process"
    run(parrot.Parrot(), "one")
    assert finished(tmp_path / "one") == finished(tmp_path / "two")
    (line,) = JsonLog(tmp_path / "two" / "runs.jsonl").read()
    assert line["answers"] == {"gsm8k": 40, "chid": 40} and line["by"] == "2 workers, ray"


@pytest.mark.slow
def test_refusals_and_rows_that_kill_are_named(cluster, run, parrot, suite):
    with pytest.raises(Unsupported, match="parrots read no such checkpoint"):
        run(parrot.Parrot(refuses=True), workers=TWO)
    poison = parse("tasks", "gsm8k").samples(suite)[5]
    with pytest.raises(Unsupported, match=r"gsm8k-4, gsm8k-5\n"):
        run(parrot.Parrot(batch=2, poison=poison.prompt.turns[-1].text), workers=TWO)


@pytest.mark.slow
def test_real_models_on_two_workers_of_which_one_is_killed(cluster, run, parrot, tmp_path, finished):
    engine = parse("engines", "hf:batch=4")
    run(parrot.Mortal(engine, tmp_path / "grave"), "two", workers=TWO)
    assert (tmp_path / "grave").exists()
    run(engine, "one")
    assert finished(tmp_path / "one") == finished(tmp_path / "two")
