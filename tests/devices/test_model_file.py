from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest

from edgelm.bundle import Bundle
from edgelm.checkpoint import Checkpoint
from edgelm.deploy.base import deploy
from edgelm.deploy.gguf import GGUF
from edgelm.devices.model_file import planned, read_stored
from edgelm.errors import BadFile, Unsupported


@pytest.mark.parametrize(("family", "tied", "dtype"), [
    ("llama", False, "F16"), ("qwen2", True, "F16"), ("phi", False, "F32"), ("qwen3", True, "F32"),
])  # fmt: skip
def test_what_is_read_is_what_the_gguf_package_reads(
    family: str, tied: bool, dtype: str, make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    checkpoint = Checkpoint(make_checkpoint(family, tied=tied))
    deploy(checkpoint, GGUF(dtype=dtype), tmp_path / "bundle")  # type: ignore[arg-type]
    path = tmp_path / "bundle/model.gguf"
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    found = read_stored(path)
    assert found.bytes == sum(int(tensor.n_bytes) for tensor in tensors.values())
    assert sum(found.values.values()) == sum(int(tensor.n_elements) for tensor in tensors.values())
    assert found.looked_up == (0 if tied else int(tensors["token_embd.weight"].n_bytes))
    assert found.width == (2 if dtype == "F16" else 4)
    assert found.tokens > checkpoint.shape.vocab
    if dtype == "F16":
        assert planned(checkpoint.shape).bytes == found.bytes
        assert planned(checkpoint.shape).values == found.values
        assert planned(checkpoint.shape).looked_up == found.looked_up


def test_a_file_cut_or_damaged_anywhere_is_refused_or_read_and_nothing_else(bundle: Bundle, tmp_path: Path) -> None:
    whole = bundle.model.read_bytes()
    path, draw = tmp_path / "model.gguf", random.Random(0)
    for _ in range(60):
        path.write_bytes(whole[: draw.randrange(len(whole))])
        with pytest.raises(BadFile, match=r"is no GGUF file|is cut short"):
            read_stored(path)
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(4):
            damaged[draw.randrange(4000)] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            read_stored(path)
        except (BadFile, Unsupported) as error:
            assert str(path) in error.what


def test_quantised_weights_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    name = b"token_embd.weight"
    whole = bytearray(bundle.model.read_bytes())
    at = whole.index(name) + len(name) + 4 + 16
    whole[at] = 8  # Q8_0
    path.write_bytes(whole)
    with pytest.raises(Unsupported, match="is quantised"):
        read_stored(path)
