"""The sandbox: hostile programs get no mark and touch nothing, honest ones run; what it holds is tried, not assumed."""

import contextlib
import dataclasses
import io
import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest

from edgelm.errors import Unsupported
from edgelm.tasks.sandbox import base, bubblewrap, packages
from edgelm.tasks.sandbox.base import Limits, ends_well
from edgelm.tasks.sandbox.unconfined import Unconfined

HOSTILE = sorted((Path(__file__).parent / "hostile").glob("*.py"))
SHORT = Limits(seconds=1)


@pytest.fixture(scope="module")
def sandbox():
    try:
        return bubblewrap.bubblewrap(SHORT)
    except Unsupported as error:
        pytest.skip(f"no sandbox can be had here: {error}")


class Watched:
    """A sandbox that keeps a hand on the process namespace of its last program, so that what is left there shows."""

    def __init__(self, sandbox):
        self.sandbox, self.limits, self.namespace = sandbox, sandbox.limits, None

    @contextlib.contextmanager
    def start(self, orders):
        with self.sandbox.start(orders) as running:
            self.namespace = os.open(f"/proc/{running.first.pid}/ns/pid", os.O_RDONLY)
            yield running

    def left(self):
        """What still lives there; a process that has ended and is only waited for does not."""
        own, found = os.fstat(self.namespace).st_ino, []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "ns/pid").stat().st_ino == own and ") Z " not in (process / "stat").read_text():
                    found.append((process / "stat").read_text())
        return found


@dataclasses.dataclass
class Host:
    """What the programs attack: things of the machine that a test may lose."""

    facts: dict
    listeners: list
    victim: subprocess.Popen

    @property
    def secret(self):
        return Path(self.facts["secret_file"])

    def asserts_untouched(self):
        assert self.secret.read_text() == "untouched"
        assert self.victim.poll() is None
        assert not Path(self.facts["left_file"]).exists()
        for listener in self.listeners:
            with pytest.raises(BlockingIOError):
                listener.accept()


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELM_TEST_SECRET", "told")
    name = uuid.uuid4().hex
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))  # a short path: sockets want one
        tmp_path.chmod(0o777)
        (tmp_path / "secret").write_text("untouched")
        (tmp_path / "secret").chmod(0o666)
        addresses = [
            (socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET6, ("::1", 0)),
            (socket.AF_UNIX, str(folder / "socket")), (socket.AF_UNIX, f"\0{name}"),
        ]  # fmt: skip
        listeners = []
        for family, address in addresses:
            listener = stack.enter_context(socket.socket(family))
            with contextlib.suppress(OSError if family == socket.AF_INET6 else ()):  # not every machine has IPv6
                listener.bind(address)
            listener.listen()
            listener.setblocking(False)
            listeners.append(listener)
        victim = stack.enter_context(subprocess.Popen(["sleep", "60"]))
        stack.callback(victim.kill)
        facts = {
            "secret_file": str(tmp_path / "secret"), "left_file": f"{tempfile.gettempdir()}/edgelm-left-{name}",
            "harness": base.__file__, "victim": victim.pid, "socket": str(folder / "socket"), "abstract": f"\0{name}",
            "port": listeners[0].getsockname()[1], "port6": listeners[1].getsockname()[1],
        }  # fmt: skip
        yield Host(facts, listeners, victim)


def _program(path, host):
    return f"HOST = {host.facts!r}\n{path.read_text()}"


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.stem)
def test_a_hostile_program_gets_nothing_and_leaves_nothing(sandbox, host, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    harmless = path.read_text().startswith("# Harmless:")
    harness, name = Path(base.__file__).read_bytes(), socket.gethostname()
    watched = Watched(sandbox)
    assert ends_well(watched, _program(path, host)) is harmless
    assert watched.left() == []
    host.asserts_untouched()
    assert Path(base.__file__).read_bytes() == harness and socket.gethostname() == name
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]


def test_there_are_enough_of_them():
    assert len(HOSTILE) >= 50


CONTROL = ("network_ipv4", "unix_socket", "abstract_socket", "read_home", "symlink_out", "files_left", "read_system")


@pytest.mark.parametrize("name", CONTROL)
def test_the_same_attack_succeeds_without_a_sandbox(host, name):
    """Else the programs would prove nothing."""
    path = Path(__file__).parent / "hostile" / f"{name}.py"
    with contextlib.ExitStack() as stack:
        for made in ("/tmp/link", host.facts["left_file"]):
            stack.callback(Path(made).unlink, missing_ok=True)
        assert ends_well(Unconfined(SHORT), _program(path, host))
    assert name != "symlink_out" or host.secret.read_text() == "overwritten"


# The rule


@pytest.mark.parametrize(("program", "passes"), [
    ("pass", True), ("raise ValueError", False), ("assert False", False), ("def f(:", False), ("", True),
    ("import sys; sys.exit(0)", False), ("import sys; sys.exit(1)", False), ("raise KeyboardInterrupt", False),
    ("import os; os._exit(0)", False), ("exit()", False), ("quit()", False),
    ("input()", False), ("import sys; sys.stdin.read()", False), ("print('x' * 10**7)", True),
    ("import sys; sys.stderr.write('\\ud800'); print('\\ud800')", True),
    ("import os; os.getcwd()", False), ("import os; os.system('true')", False), ("import psutil", False),
    ("import math, typing, collections, hashlib, random, string, copy, re, itertools, functools, heapq", True),
    ("assert __name__ == 'builtins'\ntry:\n    __file__\nexcept NameError: pass\nelse: assert False", True),
    ("import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()", True),
    ("import time\ntime.sleep(0.3)", True), ("open('own', 'w').write('x'); assert open('own').read() == 'x'", True),
    ("import multiprocessing; multiprocessing.Pool", True), ("import tempfile; tempfile.mkdtemp()", True),
    ("try:\n    import sys; sys.exit(0)\nexcept SystemExit: pass", True), ("é = '守株待兔'; assert len(é) == 4", True),
])  # fmt: skip
@pytest.mark.parametrize("confined", [True, False])
def test_a_program_passes_if_it_runs_to_its_end_without_an_exception(request, confined, program, passes):
    place = request.getfixturevalue("sandbox") if confined else Unconfined(SHORT)
    assert ends_well(place, program) is passes


def test_a_program_larger_than_a_pipe_is_handed_over_whole(sandbox):
    assert ends_well(sandbox, f"x = {'y' * 300_000!r}\nassert len(x) == 300_000")


def test_each_program_has_a_fresh_folder(sandbox):
    write = "import os; assert os.listdir('/tmp') == []; open('/tmp/x', 'w').close()"
    assert ends_well(sandbox, write) and ends_well(sandbox, write)


def test_time_counts_from_the_programs_beginning(sandbox):
    limits = Limits(seconds=0.5)
    quick = dataclasses.replace(sandbox, limits=limits)
    assert ends_well(quick, "import time; time.sleep(0.1)")
    assert not ends_well(quick, "import time; time.sleep(0.9)")


# The package beside the standard library

INVERT = "import numpy as np\na = np.eye(300) * 2\nassert (np.linalg.inv(a) @ a == np.eye(300)).all()"


@pytest.fixture
def place(request, confined):
    pytest.importorskip("numpy")
    found = request.getfixturevalue("sandbox") if confined else Unconfined(SHORT)
    if found.conditions()["packages"] == "the standard library alone":
        pytest.skip("the interpreter of the sandbox is another than numpy is built for")
    return found


@pytest.mark.parametrize("confined", [True, False])
def test_numpy_can_be_imported_where_it_is_installed(place):
    import numpy

    assert place.conditions()["packages"] == f"the standard library and numpy {numpy.__version__}"
    assert ends_well(place, INVERT)
    assert ends_well(place, "import numpy.testing, numpy.random, numpy.fft, numpy.polynomial")
    assert ends_well(place, "import os, numpy; assert os.environ['OMP_NUM_THREADS'] == '1'")
    assert not ends_well(place, "import numpy; numpy.ones(1 << 30)")


@pytest.mark.parametrize("name", ["pytest", "pluggy", "pydantic", "hypothesis", "edgelm", "numpy.libs"])
@pytest.mark.parametrize("confined", [True, False])
def test_nothing_else_of_the_site_packages_can_be_imported(place, name):
    assert not ends_well(place, f"import numpy\nimport {name}")


@pytest.mark.parametrize("confined", [True])
def test_no_other_package_is_there_and_this_one_cannot_be_changed(place):
    assert ends_well(place, "import os; assert {'numpy'} <= {*os.listdir('/packages')} <= {'numpy', 'numpy.libs'}")
    for path in ("/packages/x.py", "/packages/numpy/x.py", "/packages/numpy/__init__.py"):
        assert ends_well(place, f"try: open({path!r}, 'a')\nexcept OSError: pass\nelse: raise ValueError")


@pytest.fixture
def own_package():
    """A package called numpy that everybody can read and write; tests' own folders are closed to nobody."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "numpy")
        package.mkdir()
        (package / "__init__.py").write_text("__version__ = 'own'")
        for path in (Path(folder), package):
            path.chmod(0o777)
        yield package


@pytest.mark.parametrize("content", ["raise ImportError", "memory = bytes(1 << 30)", "import os; os._exit(0)"])
def test_a_package_that_cannot_be_imported_is_not_promised(sandbox, monkeypatch, own_package, content):
    plain = dataclasses.replace(sandbox, beside=())
    plain = dataclasses.replace(plain, facts=bubblewrap._tried(plain))
    assert plain.conditions()["packages"] == "the standard library alone"
    monkeypatch.setattr(packages, "folders", lambda: (own_package,))
    assert bubblewrap._with_package(plain).conditions()["packages"] == "the standard library and numpy own"
    (own_package / "__init__.py").write_text(content)
    assert bubblewrap._with_package(plain) == plain
    monkeypatch.setattr(packages, "folders", lambda: ())
    assert bubblewrap._with_package(plain) == plain
    assert not ends_well(plain, "import numpy") and ends_well(plain, "'numpy'")


@pytest.mark.parametrize("flag", ["--ro-bind", "--bind"])
def test_a_package_that_programs_could_change_is_found(sandbox, monkeypatch, own_package, flag):
    own = dataclasses.replace(sandbox, beside=(own_package,))
    words = bubblewrap.Bubblewrap._walls(own)
    words[words.index(str(own_package)) - 1] = flag
    monkeypatch.setattr(bubblewrap.Bubblewrap, "_walls", lambda self: words)
    if flag == "--ro-bind":
        assert bubblewrap._tried(own)["packages"] == "the standard library and numpy own"
    else:
        with pytest.raises(Unsupported) as caught:
            bubblewrap._tried(own)
        assert '"/packages/numpy"' in caught.value.why


# What it says of itself


def test_the_conditions_name_what_was_found(sandbox):
    found = sandbox.conditions()
    assert found["sandbox"].startswith("bubblewrap ")
    assert set(found["namespaces"]) >= bubblewrap.NEEDED
    assert found["python"].startswith("3.") and found["seconds"] == 1
    assert Unconfined(SHORT).conditions()["sandbox"].startswith("NONE")


def test_a_machine_without_bubblewrap_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Unsupported, match=r"(?s)not installed.*apt-get install bubblewrap.*sandbox=none"):
        bubblewrap.bubblewrap(Limits(seconds=2))


def test_a_system_that_permits_none_is_told_why(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/false")
    with pytest.raises(Unsupported, match=r"(?s)no sandbox here.*why: it ended with 1.*sandbox=none"):
        bubblewrap.bubblewrap(Limits(seconds=4))


@pytest.mark.parametrize(("replaced", "hole"), [
    (("--unshare-net",), '"net"'), (("--unshare-ipc",), '"ipc"'), (("--unshare-pid",), '"pid"'),
    (("--clearenv",), '"environment": ["SECRET"]'), (("--remount-ro", "/"), '"writable": ["/"'),
])  # fmt: skip
def test_a_sandbox_that_does_not_hold_is_refused(sandbox, monkeypatch, replaced, hole):
    """Walls are taken away one by one: the trial must find each."""
    whole = bubblewrap.Bubblewrap._walls

    def holed(self):
        words, place = whole(self), whole(self).index(replaced[0])
        return words[:place] + words[place + len(replaced) :]

    monkeypatch.setattr(bubblewrap.Bubblewrap, "_walls", holed)
    if replaced == ("--clearenv",):
        started = subprocess.Popen
        monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started(*a, **k | {"env": {"SECRET": "told"}}))
    with pytest.raises(Unsupported) as caught:
        bubblewrap._tried(sandbox)
    assert hole in caught.value.why


def test_limits_that_do_not_hold_are_found(sandbox):
    loose = dataclasses.replace(sandbox, limits=Loose(memory=64 << 20, processes=4))
    with pytest.raises(Unsupported, match="does not hold") as caught:
        bubblewrap._tried(loose)
    assert caught.value.why == '{"memory": "not limited", "processes": "not limited"}'


@dataclasses.dataclass(frozen=True)
class Loose(Limits):
    """Limits that are promised and not set."""

    def of_process(self):
        return {}


def test_a_program_that_cannot_be_started_is_no_wrong_answer(sandbox):
    with pytest.raises(Unsupported, match="did not start"):
        ends_well(dataclasses.replace(sandbox, python=Path("/usr/bin/nothing")), "pass")


def test_what_must_not_be_seen_is_not_on_the_way_to_the_interpreter(monkeypatch, tmp_path):
    for name in ("python", "letters"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    hidden = bubblewrap._hidden(tmp_path / "python/bin/python3")
    assert str(tmp_path / "letters") in hidden and "/etc/passwd" in hidden
    assert str(tmp_path) not in hidden and str(tmp_path / "python") not in hidden
    assert str(tmp_path) in bubblewrap._hidden(Path("/usr/bin/python3"))
    monkeypatch.setenv("HOME", "/nonexistent")
    assert "/etc/passwd" in bubblewrap._hidden(Path("/usr/bin/python3"))


def test_a_program_that_ended_before_anybody_looked_leaves_no_first_process():
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert bubblewrap._first_process(io.BytesIO(b'{"child-pid": %d}' % gone.pid)) is None


# Without a sandbox


def test_without_a_sandbox_a_program_still_has_limits_and_a_folder_that_goes():
    seen = Path(tempfile.gettempdir()) / f"edgelm-test-{uuid.uuid4().hex}"
    assert ends_well(Unconfined(SHORT), f"import posix; open({str(seen)!r}, 'w').write(posix.getcwd())")
    assert not Path(seen.read_text()).exists()
    seen.unlink()
    assert not ends_well(Unconfined(SHORT), "while True: pass")
    assert not ends_well(Unconfined(SHORT), "x = bytearray(1 << 30)")
