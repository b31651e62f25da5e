import os
import signal
import threading
import time

import pytest

from edgelm.cli.together import run_together, started


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr("edgelm.cli.together.GRACE", 1.0)


@pytest.fixture
def say(monkeypatch, tmp_path):
    """`say(code)`: in place of `edgelm`, each process runs this; the rest of the line names a folder."""

    def put(code):
        package = tmp_path / "edgelm"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return put


TELL = """
import os, pathlib, sys
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")
pathlib.Path(sys.argv[1], os.environ["RANK"]).write_text(" ".join(os.environ[name] for name in names))
"""


def test_each_process_is_told_its_place(say, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    folder = say(TELL)
    assert run_together(3, [str(folder)]) == 0
    told = [(folder / str(rank)).read_text().split() for rank in range(3)]
    assert [each[:4] for each in told] == [[str(rank), str(rank), "3", "127.0.0.1"] for rank in range(3)]
    assert len({each[4] for each in told}) == 1
    assert {each[5] for each in told} == {"2"}


def test_when_one_fails_the_others_are_ended(say):
    say("import os, sys, time\nsys.exit(2) if os.environ['RANK'] == '1' else time.sleep(60)")
    began = time.monotonic()
    assert run_together(2, []) == 2
    assert time.monotonic() - began < 30


def test_a_request_to_end_is_passed_on(say):
    folder = say(
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "pathlib.Path(sys.argv[1], f'ready-{time.monotonic_ns()}').touch()\n"
        "time.sleep(60)"
    )

    def ask():
        while len([*folder.glob("ready-*")]) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=ask).start()
    assert run_together(2, [str(folder)]) == 0


def test_the_first_alone_is_heard_of_a_failure_of_its_own(say, capfd):
    say("import os, sys\nprint('rank', os.environ['RANK'], file=sys.stderr)\nsys.exit(2 - int(os.environ['RANK']))")
    assert run_together(2, []) == 2
    assert capfd.readouterr().err == "rank 0\n"


def test_another_is_heard_where_it_alone_failed(say, capfdbinary):
    say("import os, sys\nsys.exit('lost' if os.environ['RANK'] == '1' else 0)")
    assert run_together(2, []) == 1
    assert b"lost" in capfdbinary.readouterr().err


def test_a_signal_counts_as_a_shell_counts_it(say):
    say("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert run_together(2, []) == 128 + signal.SIGKILL


def test_a_process_knows_whether_it_is_one_of_several(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert not started()
    monkeypatch.setenv("RANK", "0")
    assert started()
