"""Fixtures of the compression tests: every family, tied and untied; weights edited on disk; text and tokens."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import FAMILIES, Progress
from edgelm.compress.quality import Head
from edgelm.compress.stream.model import Model
from edgelm.data.texts import Document, TextSource

Edit = Callable[[Checkpoint, Callable[[dict[str, Tensor]], None]], Checkpoint]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tiny matrices are slower with several threads, most of all where test processes share the cores."""
    torch.set_num_threads(1)


@pytest.fixture(params=[family for family in FAMILIES if family != "gpt2"])
def family(request: pytest.FixtureRequest) -> str:
    """All but GPT-2, which has names and limits of its own: see `test_gpt2.py`."""
    return request.param


@pytest.fixture(params=[False, True], ids=["untied", "tied"])
def tied(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture
def base(make_checkpoint: Callable[..., Path], family: str, tied: bool) -> Checkpoint:
    return Checkpoint(make_checkpoint(family, tied=tied))


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[Checkpoint], Model]:
    """Open a checkpoint for steps, which write below a folder of their own."""

    def of(checkpoint: Checkpoint) -> Model:
        model = Model.of(checkpoint)
        model.folder = Path(tempfile.mkdtemp(dir=tmp_path))
        return model

    return of


@pytest.fixture
def checkpoint(make_checkpoint: Callable[..., Path], family: str) -> Checkpoint:
    return Checkpoint(make_checkpoint(family))


@pytest.fixture
def model(checkpoint: Checkpoint, opened: Callable[[Checkpoint], Model]) -> Model:
    return opened(checkpoint)


@pytest.fixture(scope="session")
def logits() -> Callable[[Model, list[int]], Tensor]:
    """The logits of a model on a sequence (T × V)."""

    def of(model: Model, tokens: list[int]) -> Tensor:
        return Head(*model.head())(model.final_states([tokens], lambda done, total: None)[0])

    return of


@pytest.fixture(scope="session")
def texts() -> list[TextSource]:
    squares = [Document(f"The square of {n} is {n * n}; its cube is {n**3}. Next!") for n in range(60)]
    return [TextSource("squares", squares, "")]


@pytest.fixture(scope="session")
def batches() -> list[list[int]]:
    """Eight sequences of random tokens, of two lengths."""
    generator = torch.Generator().manual_seed(7)
    return [torch.randint(5, 250, (40 + 8 * (n % 2),), generator=generator).tolist() for n in range(8)]


@pytest.fixture(scope="session")
def edit() -> Edit:
    """Change a checkpoint's weights on disk; the function given works on the tensors by name."""

    def apply(base: Checkpoint, change: Callable[[dict[str, Tensor]], None]) -> Checkpoint:
        [path] = base.weight_files
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path, metadata={"format": "pt"})
        return Checkpoint(base.path)

    return apply


@pytest.fixture(scope="session")
def silent() -> Progress:
    """A progress nobody watches."""
    return lambda what, done, total: None
