import json
import struct
import sys

import pytest

from edgelm.errors import MissingPackage
from edgelm.train.page.picture import draw


@pytest.fixture
def metrics(tmp_path):
    lines = [{"step": n, "tokens": 100 * n, "loss": 5 / n, "held": {"c4": {"loss": 6 / n}}} for n in range(1, 30)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "metrics.jsonl"


@pytest.mark.parametrize("stages", [(), ("pretrain",), ("pretrain", "sft")])
def test_a_picture_of_the_same_size_and_bytes(metrics, tmp_path, stages):
    files = dict.fromkeys(stages, metrics) | {"none": tmp_path / "none.jsonl"}
    pictures = []
    for name in ("a.png", "b.png"):
        draw(files, tmp_path / name, "run")
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1]
    assert struct.unpack(">II", pictures[0][16:24]) == (1280, 720)


def test_what_is_drawn_shows(metrics, tmp_path):
    draw({"pretrain": metrics}, tmp_path / "full.png")
    draw({}, tmp_path / "empty.png")
    assert (tmp_path / "full.png").stat().st_size > 2 * (tmp_path / "empty.png").stat().st_size


def test_without_matplotlib_the_mend_is_said(metrics, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPackage, match="matplotlib"):
        draw({"pretrain": metrics}, tmp_path / "x.png")
