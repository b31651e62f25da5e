import shutil
import subprocess

import pytest

from edgelm.errors import BadFile, MissingInput
from edgelm.score.checksums import SIGNATURE, SUMS, against_list, checksums


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "board"
    (made / "track").mkdir(parents=True)
    (made / "rules.json").write_text("{}")
    (made / "track/board.csv").write_text("rank\n")
    (made / SUMS).write_bytes(checksums(made))
    (made / SIGNATURE).write_bytes(b"x")
    return made


def test_a_folder_is_as_its_list_says(folder):
    assert list(against_list(folder)) == []
    assert checksums(folder) == (folder / SUMS).read_bytes()


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="there is no sha256sum")
def test_the_list_is_read_by_sha256sum(folder):
    run = subprocess.run(["sha256sum", "--strict", "-c", SUMS], cwd=folder, capture_output=True)
    assert run.returncode == 0, run.stderr


def test_the_folder_itself_may_be_reached_by_a_link_and_nothing_in_it(folder, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert list(against_list(link)) == []
    (folder / "track").rename(tmp_path / "elsewhere")
    (folder / "track").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadFile, match="is a link"):
        list(against_list(folder))


def test_every_deviation_is_named(folder):
    (folder / "rules.json").write_text("{ }")
    (folder / "track/board.csv").unlink()
    (folder / "more").write_text("")
    changed, missing, more = against_list(folder)
    assert changed.startswith("rules.json has sha256 ")
    assert (missing, more) == ("track/board.csv is missing", "more is not listed")


@pytest.mark.parametrize("what", ["rules.json", "track"])
def test_links_are_refused(folder, tmp_path, what):
    (folder / what).rename(tmp_path / "elsewhere")
    (folder / what).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadFile, match="is a link"):
        list(against_list(folder))


ZERO = "0" * 64


@pytest.mark.parametrize(
    "text",
    ["", "hello\n", f"{ZERO}  /etc/passwd\n", f"{ZERO}  ../x\n", f"{ZERO}  a/../b\n", f"{ZERO}  a\n{ZERO}  a\n",
     f"{ZERO}  a", f"{ZERO} a\n", f"{ZERO}  a\\b\n", f"{ZERO}  a//b\n"],
)  # fmt: skip
def test_a_list_that_is_none_is_refused(folder, text):
    (folder / SUMS).write_text(text)
    with pytest.raises(BadFile, match="no list of checksums"):
        list(against_list(folder))


def test_bytes_and_nothing_are_refused(folder):
    (folder / SUMS).write_bytes(b"\xff\xfe")
    with pytest.raises(BadFile):
        list(against_list(folder))
    (folder / SUMS).unlink()
    with pytest.raises(MissingInput):
        list(against_list(folder))
