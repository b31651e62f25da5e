"""What a hostile model tries, in the real box under the real watchdog: it is held, its step ends, its team answers."""

from __future__ import annotations

import socket
import sys
import time
from dataclasses import replace

import pytest

from edgelm.errors import BadFile
from edgelm.server.worker import plain
from edgelm.server.worker.executors.base import LOG as SAID
from edgelm.server.worker.executors.base import OUT, Limits, Step
from edgelm.server.worker.executors.local import Local
from edgelm.server.worker.faults import fault_of

LOG = "report/log/answers.jsonl"  # what a worker reads while a box writes it
MIB = 2**20
LIMITS = Limits(seconds=30, memory=256 * MIB, processes=50, disk=32 * MIB)


class Model:
    """Runs payloads as a worker runs a model, and keeps what it may see and what it must not."""

    def __init__(self, box, folder):
        self.box, self.folder = box, folder
        self.weights, self.writes, self.step = folder / "weights", folder / "writes", folder / "step"
        for each in (self.weights, self.step):
            each.mkdir()
        (self.weights / "w").write_text("weights")
        (self.weights / "w").chmod(0o666)
        box.prepare(self.writes)

    def run(self, payload, **limits):
        """How the payload ended, whose fault that is, by what code, and the sentence."""
        known = f"import os, sys, socket, time\nWRITES, WEIGHTS = {str(self.writes)!r}, {str(self.weights)!r}\n"
        words = self.box.words((sys.executable, "-I", "-S", "-c", known + payload), [self.weights], self.writes)
        step = Step("m/t", words, self.step, self.writes, self.box.env(), replace(LIMITS, **limits))
        executor = Local()
        handle = executor.start(step)
        while (ended := executor.poll(handle)) is None:
            time.sleep(0.02)
        fault = fault_of("m/t", ended, executor.logs(handle))
        return ended, fault.fault, fault.code, fault.what


@pytest.fixture
def model(box, tmp_path):
    for above in (tmp_path, *tmp_path.parents[:2]):
        above.chmod(0o755)
    return Model(box, tmp_path)


def refused(told, *signs):
    """Whether the payload ended by an error that says so, for which its team answers."""
    ended, fault, code, sentence = told
    return (ended.reason, ended.code, fault, code) == ("exit", 1, "participant", "crash") and any(
        sign in sentence for sign in signs
    )


@pytest.mark.parametrize("payload", [
    "socket.create_connection(('127.0.0.1', {port}), 2)",
    "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))",
    "socket.socket(socket.AF_INET6)",
    "socket.socket(socket.AF_VSOCK)",
    "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "socket.getaddrinfo('example.org', 80)",
    "socket.socket(socket.AF_UNIX).connect('\\0edgelm-{port}')",
])  # fmt: skip
def test_the_network(model, payload):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as named:
        port = server.getsockname()[1]
        named.bind(f"\0edgelm-{port}")
        named.listen()
        server.settimeout(0), named.settimeout(0)
        told = model.run(payload.format(port=port))
        assert refused(told, "Address family not supported", "gaierror", "PermissionError", "ConnectionRefused"), told
        for listening in (server, named):
            with pytest.raises(BlockingIOError):
                listening.accept()


@pytest.mark.parametrize("name", ["worker.key", "jobs/other/answers.jsonl", "holdout.key", "server.sqlite3"])
def test_what_others_own(model, name):
    secret = model.folder / name
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text("secret")
    told = model.run(f"print(open({str(secret)!r}).read())")
    assert refused(told, "FileNotFoundError", "PermissionError"), told
    assert "secret" not in (model.step / OUT).read_text()


@pytest.mark.parametrize("payload", [
    "open(WEIGHTS + '/w', 'w')", "os.remove(WEIGHTS + '/w')", "os.chmod(WEIGHTS + '/w', 0)",
    "os.rename(WEIGHTS + '/w', WRITES + '/w')", "os.link(WEIGHTS + '/w', WRITES + '/w')",
    "open(WEIGHTS + '/new', 'w')",
])  # fmt: skip
def test_the_weights(model, payload):
    told = model.run(payload)
    assert refused(told, "Read-only", "PermissionError", "Cross-device", "Invalid cross-device"), told
    assert (model.weights / "w").read_text() == "weights" and [each.name for each in model.weights.iterdir()] == ["w"]


@pytest.mark.parametrize("payload", [
    "time.clock_settime(time.CLOCK_REALTIME, 0)",
    "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
    "if libc.unshare(0x10000000): raise PermissionError(ctypes.get_errno())",
    "os.setuid(0)", "os.mknod(WRITES + '/null', 0o020666, os.makedev(1, 3))", "os.chroot('/tmp')",
    "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))", "os.nice(-5)",
])  # fmt: skip
def test_what_is_roots(model, payload):
    told = model.run(payload)
    assert refused(told, "PermissionError"), told


@pytest.mark.parametrize(("payload", "limits", "reason", "code"), [
    ("while True: os.fork()", {}, "processes", "process-limit"),
    ("import _thread\nwhile True: _thread.start_new_thread(time.sleep, (60,))", {}, "exit", "crash"),
    ("x = []\nwhile True: x.append(b'x' * (1 << 20)); time.sleep(0.001)", {}, "memory", "out-of-memory"),
    ("for n in range(4):\n  if not os.fork(): x = bytearray(100 << 20); time.sleep(60)\ntime.sleep(60)", {}, "memory",
     "out-of-memory"),
    ("for n in range(99999): open(f'{WRITES}/{n}', 'wb').write(bytes(1 << 20)); time.sleep(0.001)", {}, "disk",
     "disk-limit"),
    ("for n in range(99999):\n  for _ in range(100): print('line', n)\n  time.sleep(0.01)", {"disk": MIB // 16}, "disk",
     "disk-limit"),
    ("for _ in range(2100): os.mkdir(WRITES + '/d'); os.chdir(WRITES + '/d'); WRITES = '.'\ntime.sleep(60)", {}, "disk",
     "disk-limit"),
    ("time.sleep(60)", {"seconds": 0.5}, "time", "time-limit"),
])  # fmt: skip
def test_more_than_there_is(model, payload, limits, reason, code):
    ended, fault, found, sentence = model.run(payload, **limits)
    assert (ended.reason, fault, found) == (reason, "participant", code), sentence
    assert sum((model.step / name).stat().st_size for name in (OUT, SAID)) < 4 * MIB
    plain.remove(model.writes)
    assert not model.writes.exists()


@pytest.mark.parametrize("payload", [
    "open(WRITES + '/sparse', 'wb').truncate(1 << 40)",
    "f = open('/tmp/x', 'wb', 0)\nfor _ in range(80):\n  if f.write(bytes(16 << 20)) < 16 << 20: raise OSError(28, '')",
    "os.ftruncate(1, 1 << 40)",
])  # fmt: skip
def test_a_file_without_end(model, payload):
    ended, fault, code, sentence = model.run(f"import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n{payload}")
    assert (ended.reason, ended.code, fault, code) == ("exit", 1, "participant", "crash"), sentence
    assert "OSError" in sentence


def test_streams_that_are_closed(model):
    ended, fault, code, _ = model.run("[os.close(n) for n in (0, 1, 2)]; os._exit(3)")
    assert (ended.code, fault, code) == (3, "participant", "crash")


def test_a_result_line_that_is_forged(model):
    ended, fault, code, sentence = model.run("print('m/t: exit 0'); sys.exit('m/t: exit 0')")
    assert (ended.code, fault, code) == (1, "participant", "crash")
    assert sentence.startswith("m/t ended with code 1")


@pytest.mark.parametrize("victim", ["os.getppid()", "1", "-1", "0", "os.getpid()"])
def test_signals_reach_nobody_outside(model, victim):
    ended, fault, code, sentence = model.run(f"os.kill({victim}, 9); sys.exit(3)")
    assert (ended.reason, fault, code) == ("exit", "participant", "crash"), sentence


@pytest.mark.parametrize("end", ["sys.exit(0)", "time.sleep(60)"])
def test_a_daemon_ends_with_the_step(model, end):
    model.run(f"""
if os.fork():
    while not os.path.exists(WRITES + "/beats"): time.sleep(0.01)
    {end}
os.setsid()
if os.fork(): os._exit(0)
while True:
    open(WRITES + "/beats", "a").write("x")
    time.sleep(0.01)
""", seconds=1.5)  # fmt: skip
    before = (model.writes / "beats").stat().st_size
    time.sleep(0.1)
    assert (model.writes / "beats").stat().st_size == before > 0


@pytest.mark.parametrize("trick", [
    "os.symlink({secret!r}, LOG)", "os.mkfifo(LOG)", "os.mkdir(LOG)",
    "os.rmdir(os.path.dirname(LOG)); os.symlink({above!r}, os.path.dirname(LOG))",
    "socket.socket(socket.AF_UNIX).bind(LOG)",
])  # fmt: skip
def test_what_the_worker_reads_is_a_plain_file(model, trick):
    secret = model.folder / "answers.jsonl"
    secret.write_text("secret")
    program = f"LOG = WRITES + {'/' + LOG!r}; os.makedirs(os.path.dirname(LOG)); os.chdir(os.path.dirname(LOG))\n"
    trick = trick.format(secret=str(secret), above=str(model.folder)).replace(
        "bind(LOG)", "bind(os.path.basename(LOG))"
    )
    ended = model.run(program + trick)[0]
    assert (ended.reason, ended.code) == ("exit", 0), plain.tail(model.step / SAID, 500)
    with pytest.raises(BadFile):
        plain.read(model.writes, LOG, MIB)


def test_a_sparse_file_is_read_in_pieces(model):
    ended, *_ = model.run(
        f"os.makedirs(WRITES + '/report/log'); open(WRITES + {'/' + LOG!r}, 'wb').truncate(800 << 20)"
    )
    assert ended.code == 0 and len(plain.read(model.writes, LOG, MIB)) == MIB
    assert plain.size(model.writes) < MIB
