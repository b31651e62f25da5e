"""The model box holds, each of its walls is missed, a rung that does not hold is left out, and none is stamped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from edgelm import seccomp
from edgelm.errors import Unsupported
from edgelm.server.worker.boxes import accelerators, trial
from edgelm.server.worker.boxes.base import Places
from edgelm.server.worker.boxes.bubblewrap import Bubblewrap
from edgelm.server.worker.boxes.docker import Docker
from edgelm.server.worker.boxes.podman import Podman
from edgelm.server.worker.model_box import ModelBox, find_box


def run(box, program, readable=(), writes=None):
    words = box.words([sys.executable, "-c", program], readable, writes)
    return subprocess.run(words, capture_output=True, text=True, env=box.env(), timeout=60, cwd="/", check=False)


class Holed(Bubblewrap):
    """Bubblewrap with a word of its command taken out, or put in the place of another."""

    def __init__(self, word, other=None):
        self.word, self.other = word, other

    def words(self, command, places):
        kept = [self.other if word == self.word else word for word in super().words(command, places)]
        left = ("--as-pid-1",) if self.word == "--unshare-pid" else ()  # bubblewrap takes one with the other alone
        return tuple(word for word in kept if word is not None and word not in left)


class Missing(Bubblewrap):
    def version(self):
        raise Unsupported("it is not installed", mend="install it")


def test_what_was_found_is_stamped(box):
    assert box.holds and box.facts["holds"] is True and box.facts["kind"] == box.kind
    assert {"socket tcp", "file outside", "1,100 processes", "environment", "process seen", "system calls",
            "daemon left"} <= set(box.facts["tried"])  # fmt: skip
    assert {"kernel", "seccomp", "landlock", "skipped"} <= set(box.facts)


@pytest.mark.parametrize(("changes", "hole"), [
    ({"rung": Holed("--unshare-net"), "calls": b"", "landlock": 0}, "socket tcp"),
    ({"rung": Holed("--unshare-pid")}, "process seen"),
    ({"rung": Holed("--ro-bind", "--bind"), "landlock": 0}, "weights written"),
    ({"calls": b""}, "system calls"),
])  # fmt: skip
def test_a_missing_wall_is_found(box, changes, hole, monkeypatch):
    prepare = ModelBox.prepare

    def also_readable(self, writes):
        prepare(self, writes)
        (writes.parent / "readable").chmod(0o777)

    monkeypatch.setattr(ModelBox, "prepare", also_readable)
    with pytest.raises(Unsupported) as refused:
        trial.tried(replace(box, **changes))
    assert hole in json.loads(refused.value.why)


def test_the_first_process_is_out_of_reach_without_landlock_too(box):
    assert "first process" in trial.tried(replace(box, landlock=0))["tried"]
    bound = (Path(trial.__file__).parent / "inside.py").read_text()
    orders = {"tied": True, "limits": {}, "landlock": 0, "filter": "", "variables": []}
    reach = """
import os
try: open(f"/proc/{os.getppid()}/mem", "r+b")
except OSError: print("held")
"""
    python = (sys.executable, "-I", "-S", "-c")
    words = replace(box, landlock=0).words((*python, bound, json.dumps(orders), *python, reach))
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=box.env(), cwd="/") as process:
        assert process.stdout.read() == b"held\n"


def test_where_the_model_is_the_worker_s_own_user_the_first_process_is_bound_as_it_is(monkeypatch):
    assert "--as-pid-1" not in Bubblewrap().words((), Places()) or os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    words = Bubblewrap().words(("run",), Places())
    assert "--as-pid-1" in words and "setpriv" not in words


@pytest.mark.parametrize(("end", "code"), [("os._exit(7)", 7), ("os.kill(os.getpid(), 15)", 128 + 15)])
def test_a_box_ends_as_its_command_does(box, end, code):
    assert run(box, f"import os; {end}").returncode == code


def test_what_has_no_parent_any_more_is_gathered(box):
    done = run(box, """
import os, time
from pathlib import Path
for _ in range(20):
    if not (child := os.fork()):
        os.fork()
        os._exit(0)
    os.waitpid(child, 0)
def ended(): return [path for path in Path("/proc").glob("[0-9]*/stat") if ") Z " in path.read_text()]
deadline = time.monotonic() + 10
while ended() and time.monotonic() < deadline: time.sleep(0.01)
print(len(ended()))
""")  # fmt: skip
    assert done.stdout == "0\n", done.stderr


@pytest.mark.skipif(not ModelBox("none").landlock, reason="the kernel has no Landlock")
def test_landlock_holds_what_a_mount_does_not(box):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:  # what is below /tmp may be written to
        weights = Path(name)
        weights.chmod(0o777)
        made = weights / "made"
        program, writable = f"open({str(made)!r}, 'w')", replace(box, rung=Holed("--ro-bind", "--bind"))
        assert "PermissionError" in run(writable, program, [weights]).stderr and not made.exists()
        assert run(replace(writable, landlock=0), program, [weights]).returncode == 0 and made.exists()


@pytest.mark.skipif(not seccomp.denied(), reason="no system call of this machine is described")
@pytest.mark.parametrize("name", sorted(seccomp.denied()))
def test_a_system_call_is_refused(refusals, name):
    assert refusals[name] == "EPERM"


@pytest.fixture(scope="module")
def refusals(box):
    """What each system call that is denied answers within, made with arguments that are wrong."""
    program = f"""
import ctypes, errno, json
libc, found = ctypes.CDLL(None, use_errno=True), {{}}
for name, number in {seccomp.denied()}.items():
    libc.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
    found[name] = errno.errorcode[ctypes.get_errno()]
print(json.dumps(found))
"""
    return json.loads(run(box, program).stdout)


def test_a_rung_that_does_not_hold_is_skipped_with_its_reason(box):
    found = find_box(rungs=[Missing(), Holed("--unshare-pid"), Bubblewrap()])
    assert found.holds and found.facts["skipped"].keys() == {"bubblewrap"}
    assert "process seen" in found.facts["skipped"]["bubblewrap"]


def test_none_that_holds_is_refused_with_all_reasons_and_a_remedy(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Unsupported, match="no box") as refused:
        find_box()
    for kind in ("bubblewrap", "podman", "docker"):
        assert f"{kind}: it is not installed" in refused.value.why
    assert "apt-get install bubblewrap" in refused.value.mend
    unsafe = find_box(unsafe=True)
    assert not unsafe.holds and unsafe.facts["holds"] is False and set(unsafe.facts["skipped"]) == {
        "bubblewrap", "podman", "docker",
    }  # fmt: skip
    assert unsafe.words(["a", "b"]) == ("a", "b")


def test_a_box_that_does_not_start_is_refused():
    with pytest.raises(Unsupported, match="no box") as refused:
        find_box(rungs=[Holed("bwrap", "/bin/false")])
    assert "it does not start" in refused.value.why


def test_a_model_reads_its_weights_and_writes_to_its_folder(box, tmp_path):
    weights, writes = tmp_path / "weights", tmp_path / "writes"
    weights.mkdir()
    (weights / "w").write_text("weights")
    box.prepare(writes)
    program = f"""
text = open({str(weights / "w")!r}).read()
open({str(writes / "made")!r}, "w").write(text)
try: open({str(weights / "w")!r}, "a")
except OSError as error: print(type(error).__name__)
"""
    done = run(box, program, [weights], writes)
    assert (done.returncode, done.stdout.strip() in ("PermissionError", "OSError")) == (0, True), done.stderr
    assert (writes / "made").read_text() == "weights"


def test_nothing_of_the_worker_is_in_its_environment(box, monkeypatch):
    monkeypatch.setenv("EDGELM_WORKER_KEY", "secret")
    assert "secret" not in run(box, "import os; print(dict(os.environ))").stdout


def test_edgelm_itself_runs_within(box):
    assert run(box, "import edgelm.report, pydantic; print(1)").stdout == "1\n"


def test_models_run_within(box):
    """Threads, shared memory and the tokenizer's own code pass the filter."""
    for name in ("torch", "tokenizers", "transformers"):
        pytest.importorskip(name)
    done = run(box, """
import tokenizers, torch, torch.multiprocessing, transformers
tokens = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, "a")).encode("a").ids
shared = torch.ones(64, 64).share_memory_()
model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
    vocab_size=8, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2))
print(tokens, int((shared @ shared).sum()), model.generate(torch.tensor([tokens]), max_new_tokens=2).shape[0])
""")  # fmt: skip
    assert done.stdout == "[0] 262144 1\n", done.stderr


def test_devices_are_seen_only_if_they_are_given(box):
    program = "import os; print(os.path.exists('/dev/kmsg'))"
    assert run(box, program).stdout == "False\n"
    assert run(replace(box, devices=("/dev/kmsg",)), program).stdout == "True\n"


# Containers


@pytest.mark.parametrize("rung", [Podman(), Docker()])
def test_a_container_is_told_what_it_may(rung, tmp_path):
    weights, writes = tmp_path / "weights", tmp_path / "writes"
    writes.mkdir()
    words = rung.words(("run", "this"), Places((weights,), writes, ("/dev/nvidia1",), memory=1 << 30))
    said = " ".join(words)
    for part in ("--network none", "--read-only", "--cap-drop ALL", "--security-opt no-new-privileges",
                 "--pids-limit 1000", f"--memory {1 << 30} --memory-swap {1 << 30}",
                 f"--volume {weights}:{weights}:ro", f"--volume {writes}:{writes}:rw",
                 "--device /dev/nvidia1", "--pull never", "--volume /usr:/usr:ro"):  # fmt: skip
        assert part in said
    assert words[-3:] == ("edgelm-box", "run", "this")
    assert "--privileged" not in said and "docker.sock:" not in said and said.count(":rw ") == 1


@pytest.mark.parametrize("rung", [Podman(), Docker()])
def test_a_container_holds(rung):
    try:
        rung.version()
    except Unsupported as error:
        pytest.skip(f"{rung.kind}: {error}")
    assert find_box(rungs=[rung]).kind == rung.kind


@pytest.mark.parametrize("end", ["os._exit(7)", "os.kill(os.getpid(), 15)"])
def test_a_tied_command_ends_as_it_does(end):
    words = ModelBox("docker", rung=Bare(), landlock=0, calls=b"").words([sys.executable, "-c", f"import os; {end}"])
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        assert process.wait(20) == (7 if "exit" in end else 128 + 15)


def test_a_tied_command_ends_with_standard_input():
    box = ModelBox("docker", rung=Bare(), landlock=0, calls=b"")
    words = box.words([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"])
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.read(1)
        process.stdin.close()
        assert process.wait(20) == 128 + 9


class Bare(Bubblewrap):
    """No walls: the command as a container's first process is given it."""

    def words(self, command, places):
        return command


# Accelerators


@pytest.fixture
def cards(tmp_path):
    """Folders like /dev and /proc of a machine with two cards, whose device files are numbered against their buses."""
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-modeset", "dri"):
        (tmp_path / name).touch()
    for bus, minor in (("0000:01:00.0", 1), ("0000:02:00.0", 0)):
        gpu = tmp_path / "driver/nvidia/gpus" / bus
        gpu.mkdir(parents=True)
        (gpu / "information").write_text(f"Model: \t x\nDevice Minor: \t {minor}\n")
    return tmp_path


@pytest.mark.parametrize(("chosen", "seen"), [
    ("0", ["nvidia1"]), ("1", ["nvidia0"]), ("0, 1", ["nvidia1", "nvidia0"]), (None, ["nvidia0", "nvidia1"]), ("", []),
])  # fmt: skip
def test_only_assigned_cards_are_seen(cards, monkeypatch, chosen, seen):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    shared = ["nvidiactl", "nvidia-uvm"] if seen else []
    assert accelerators.nvidia(cards, cards) == tuple(str(cards / name) for name in (*seen, *shared))


def test_a_card_that_is_not_there_is_refused(cards, monkeypatch):
    for chosen in ("2", "GPU-1234"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
        with pytest.raises(Unsupported, match="no card"):
            accelerators.nvidia(cards, cards)


def test_a_process_counts_the_cards_that_it_sees():
    box = ModelBox("none", devices=("/dev/nvidia3", "/dev/nvidiactl"))
    assert box.env({"CUDA_VISIBLE_DEVICES": "3"})["CUDA_VISIBLE_DEVICES"] == "0"
    assert "CUDA_VISIBLE_DEVICES" not in ModelBox("none").env()


def test_each_box_that_writes_is_another_user_so_that_none_takes_processes_from_another(box, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("each has namespaces of its own, unless the worker is root")
    users = set()
    for name in ("one", "two"):
        box.prepare(tmp_path / name)
        done = run(box, "import os; print(os.getuid(), os.getgid())", writes=tmp_path / name)
        users |= set(done.stdout.split())
    assert len(users) == 2 and not users & {"0", "65534"}


def test_a_box_that_is_entered_elsewhere_shows_the_cards_of_there(box, tmp_path, monkeypatch):
    there = replace(box, there=True, devices=("/dev/nothing",))
    there.prepare(tmp_path / "writes")
    program = f"open({str(tmp_path / 'writes' / 'made')!r}, 'w').write('1')"
    done = run(there, program, writes=tmp_path / "writes")
    assert done.returncode == 0 and (tmp_path / "writes" / "made").read_text() == "1", done.stderr
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "77")
    words = there.words(("true",))
    env = there.env() | {"CUDA_VISIBLE_DEVICES": "77"}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "names 77, which is no card here" in done.stderr
