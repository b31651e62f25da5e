"""The model box holds, a way that does not is left out with its reason, and none at all is stamped."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from edgelm.errors import Unsupported
from edgelm.server.worker import model_box
from edgelm.server.worker.model_box import ModelBox, find_box


def run(box, program, readable=(), writes=None):
    words = box.words([sys.executable, "-c", program], readable, writes)
    return subprocess.run(words, capture_output=True, text=True, env=box.env(), timeout=60, cwd="/", check=False)


def test_what_was_tried_is_stamped(box):
    assert box.holds and box.facts["box"].startswith("bubblewrap")
    assert {"socket tcp", "file outside", "500 processes", "environment", "process seen"} <= set(box.facts["tried"])


@pytest.mark.parametrize(("wall", "hole"), [
    ("--unshare-net", "socket tcp"), ("--unshare-pid", "process seen"), ("--ro-bind", "weights written"),
    ("prlimit", "500 processes"),
])  # fmt: skip
def test_a_missing_wall_is_found(box, wall, hole):
    class Holed(ModelBox):
        def words(self, words, readable=(), writes=None):
            kept = list(super().words(words, readable, writes))
            if wall == "--ro-bind":
                kept[kept.index(str(next(iter(readable)))) - 1] = "--bind"
            elif wall == "prlimit":
                kept = [word for word in kept if not word.startswith("--nproc")]
            else:
                kept.remove(wall)
            return tuple(kept)

    holed = Holed(box.kind, box.program)
    look = tried_with_open_readable if wall == "--ro-bind" else lambda box: model_box.tried(box)["holes"]
    assert hole in look(holed)


def tried_with_open_readable(box):
    """What is found if the folder of the weights may be written to by all."""
    prepare = ModelBox.prepare

    def also_readable(self, writes):
        prepare(self, writes)
        (writes.parent / "readable").chmod(0o777)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ModelBox, "prepare", also_readable)
        return model_box.tried(box)["holes"]


def test_a_way_that_is_not_there_is_refused_with_its_reason_and_the_remedy(monkeypatch):
    monkeypatch.setattr(model_box.shutil, "which", lambda name: None)
    with pytest.raises(Unsupported) as refused:
        find_box()
    assert "bubblewrap: it is not installed" in refused.value.why and "apt-get install" in refused.value.mend
    unsafe = find_box(unsafe=True)
    assert not unsafe.holds and unsafe.facts["box"] == "none" and "bubblewrap" in unsafe.facts["skipped"]
    assert unsafe.words(["a", "b"]) == ("a", "b")


def test_a_box_that_does_not_start_is_refused(monkeypatch):
    monkeypatch.setattr(model_box.shutil, "which", lambda name: "/bin/false")
    with pytest.raises(Unsupported, match="no box"):
        find_box()


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


def test_devices_are_seen_only_if_they_are_given(box):
    program = "import os; print(os.path.exists('/dev/kmsg'))"
    assert run(box, program).stdout == "False\n"
    assert run(replace(box, devices=("/dev/kmsg",)), program).stdout == "True\n"
