"""The verb: exit codes, what it says, and the way from scoring with a key to checking with its public half."""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.pack import Entry, pack
from edgelm.rules.miniature import Miniature

pytest.importorskip("cryptography")


@pytest.fixture
def package(make_checkpoint, tmp_path):
    model = Checkpoint(make_checkpoint("llama", num_hidden_layers=1))
    pack({"base": Entry(model.path)}, team="red", track="compression", rules=Miniature(), out=tmp_path / "red")
    return tmp_path / "red"


@pytest.fixture
def keys(tmp_path):
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    (tmp_path / "key").write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
    public = key.public_key().public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH)
    (tmp_path / "key.pub").write_bytes(public)
    return tmp_path / "key", tmp_path / "key.pub"


@pytest.fixture
def board(package, edgelm, tmp_path):
    def make(*options, code=0):
        out = tmp_path / "out"
        assert edgelm("score", package, "--rules", "miniature", "--no-page", "-o", out, *options)[0] == code
        return out

    return make


def test_a_board_that_was_not_touched_gives_the_same_bytes(board, edgelm):
    code, out, err = edgelm("replay", board())
    assert (code, out) == (0, "the same bytes\n")
    assert "no signature was checked" in err


def test_a_signed_board_is_checked_with_the_public_key(board, edgelm, keys):
    made = board("--key", keys[0])
    code, out, _ = edgelm("replay", made, "--key", keys[1], "--json")
    assert (code, json.loads(out)) == (0, {"board": str(made), "signed": True, "differences": []})
    (made / "SHA256SUMS.sig").write_bytes(b"\0" * 64)
    code, out, _ = edgelm("replay", made, "--key", keys[1])
    assert code == 1
    assert "is not this key's" in out and "take the key that the organisers announced" in out


def test_a_bundle_is_computed_again_as_a_server_gives_it(board, edgelm, keys, tmp_path):
    made = board("--key", keys[0])
    with tarfile.open(tmp_path / "bundle.tar", "w") as tar:
        tar.add(made, "compression-1")
    code, out, _ = edgelm("replay", tmp_path / "bundle.tar", "--key", keys[1])
    assert (code, out) == (0, "the same bytes\n")
    (made / "compression/standings.json").write_text("{}")
    shutil.make_archive(str(tmp_path / "other"), "zip", made)
    code, out, _ = edgelm("replay", tmp_path / "other.zip", "--key", keys[1])
    assert code == 1 and out.startswith("compression/standings.json has sha256")
    (tmp_path / "page.html").write_text("<html>")
    code, _, err = edgelm("replay", tmp_path / "page.html")
    assert code == 2 and "not a readable zip or tar" in err and "pack" not in err


def test_a_difference_is_said_and_ends_with_1(board, edgelm):
    made = board()
    (made / "compression/standings.json").write_text("{}")
    code, out, _ = edgelm("replay", made)
    assert code == 1
    assert out.startswith("compression/standings.json has sha256")


@pytest.mark.parametrize("name", ["rules.json", "compression/entries.json", "compression/board.md"])
def test_a_missing_file_is_a_difference(board, edgelm, name):
    made = board()
    (made / name).unlink()
    code, out, _ = edgelm("replay", made)
    assert (code, out) == (1, f"{name} is missing\n")


def test_what_cannot_be_used_ends_with_2(board, edgelm, tmp_path):
    assert edgelm("replay", tmp_path / "nowhere")[0] == 2
    made = board()
    (made / "SHA256SUMS").write_text("noise")
    assert edgelm("replay", made)[0] == 2
    assert edgelm("replay", made, "--key", tmp_path / "nowhere")[0] == 2


def test_it_needs_no_network_and_no_model_library(board):
    code = "import sys; import edgelm.cli.replay; print([m for m in ('torch', 'httpx', 'numpy') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


DECISION = {"team": "red", "reason": "copying", "evidence": "see file 7", "signatures": ["Ada", "Bo"]}


def test_decisions_are_on_the_board_and_in_its_log(board, edgelm, tmp_path):
    (tmp_path / "out.json").write_text(json.dumps([DECISION]))
    made = board("--void", "chid=answers leaked", "--disqualified", tmp_path / "out.json", "--state", "final",
                 "--signed-by", "Ada", "--signed-by", "Bo", "--revision", "4", code=1)  # fmt: skip
    standing = json.loads((made / "compression/standings.json").read_text())
    assert (standing["state"], standing["revision"], standing["maximum"]) == ("final", 4, 40)
    assert standing["ineligible"][0]["reasons"] == ["copying: see file 7 (signed Ada and Bo)"]
    log = json.loads(Path(made / "compression/decisions.json").read_text())["log"]
    assert [event["what"] for event in log] == ["void chid", "disqualify red", "provisional → final"]
    assert edgelm("replay", made)[0] == 0


@pytest.mark.parametrize(
    "options",
    [["--void", "chid"], ["--void", "chess=x"], ["--state", "final"], ["--void", "chid=a", "--void", "chid=b"],
     ["--key", "nowhere"], ["--disqualified", "nowhere"]],
)  # fmt: skip
def test_decisions_without_reason_or_signatures_are_refused(package, edgelm, tmp_path, options):
    code, _, err = edgelm("score", package, "--rules", "miniature", "--no-page", "-o", tmp_path / "out", *options)
    assert code == 2
    assert "mend:" in err
    assert not (tmp_path / "out").exists()
