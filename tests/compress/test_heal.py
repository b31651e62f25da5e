from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Progress, Step
from edgelm.compress.depth import Depth
from edgelm.compress.heal import Heal
from edgelm.compress.healing import loop
from edgelm.compress.quality import Reference
from edgelm.compress.run import compress
from edgelm.compress.stream.model import Model
from edgelm.compress.width import Width
from edgelm.data.texts import TextSource
from edgelm.errors import BadOption
from edgelm.plugins import parse, spec_of

METHODS = ("block", "lora", "full")
RATES = {"block": 3e-3, "lora": 2e-3, "full": 2e-3}
Cut = Callable[[str], Any]


class Killed(BaseException):
    """Stands for the end of the process."""


def spoken(tokens: int, seed: int = 1) -> list[list[int]]:
    """Text of a language with few words, of about so many tokens."""
    words = [[5 + (7 * word + 3 * letter) % 240 for letter in range(4)] for word in range(12)]
    chance, text = random.Random(seed), list[list[int]]()
    while sum(map(len, text)) < tokens:
        text.append([token for _ in range(chance.randint(20, 30)) for token in chance.choice(words)])
    return text


@pytest.fixture
def cut(checkpoint: Checkpoint, opened: Any, silent: Progress, tmp_path: Path) -> Cut:
    """A model without one of its layers and some of its channels, about to be healed in a folder of that name."""

    def made(name: str) -> Any:
        model: Any = opened(checkpoint)
        text = spoken(400, seed=2)
        Depth(1).apply(model, text, silent)
        Width(96).apply(model, text, silent)
        model.base, model.healing = Model.of(checkpoint), spoken
        model.folder = tmp_path / name
        model.folder.mkdir(exist_ok=True)
        return model

    return made


@pytest.mark.parametrize("method", METHODS)
def test_healed_predicts_more_like_the_base(cut: Cut, silent: Progress, method: Any) -> None:
    model = cut("out")
    held = spoken(400, seed=3)
    reference = Reference.of(model.base, held, lambda done, total: None)
    before = reference.compare(model, held, None, lambda done, total: None)
    config, shapes = model.config, {name: piece.shape for name, piece in model.pieces.items()}
    record = Heal(8_000, method, lr=RATES[method], batch=1).apply(model, [], silent)
    after = reference.compare(model, held, None, lambda done, total: None)
    assert after["kl"] < 0.9 * before["kl"]
    assert model.config == config
    assert {name: piece.shape for name, piece in model.pieces.items()} == shapes
    assert record["method"] == method
    assert record["warnings"] == []
    assert len(record["updates"]) == (3 if method == "block" else 1)


@pytest.mark.parametrize("family", ["qwen2"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("calls", [2, 7])
def test_killed_and_gone_on_is_the_same(
    cut: Cut, silent: Progress, monkeypatch: pytest.MonkeyPatch, method: Any, calls: int
) -> None:
    monkeypatch.setattr(loop, "EVERY", 3)
    heal, told = Heal(2_000, method, lr=1e-3, batch=4), list[int]()

    def dying(what: str, done: int, total: int) -> None:
        told.append(done)
        if len(told) > min(calls, total - 1):
            raise Killed

    whole, killed = cut("whole"), cut("out")
    record = heal.apply(whole, [], silent)
    with pytest.raises(Killed):
        heal.apply(killed, [], dying)
    resumed = cut("out")
    assert heal.apply(resumed, [], silent) == record
    for name in whole.names:
        assert torch.equal(whole.outer(name), resumed.outer(name))


@pytest.mark.parametrize("steps", [
    ["width:hidden=48"], ["width:hidden=48,refit=1"], ["depth:drop=1", "width:hidden=48,basis=channels"],
    ["width:hidden=56", "width:hidden=48"],
])  # fmt: skip
def test_a_narrowed_stream_is_healed_by_block(
    make_checkpoint: Callable[..., Path], opened: Any, silent: Progress, tmp_path: Path, steps: list[str]
) -> None:
    base = Checkpoint(make_checkpoint("llama"))
    model = opened(base)
    model.base, model.healing = Model.of(base), spoken
    for number, spec in enumerate([*steps, ""]):
        model.folder = tmp_path / str(number)
        model.folder.mkdir()
        if spec:
            parse("compress", spec).apply(model, spoken(400, seed=2), silent)
    held = spoken(400, seed=3)
    reference = Reference.of(model.base, held, lambda done, total: None)
    before = reference.compare(model, held, None, lambda done, total: None)
    record = Heal(8_000, "block", lr=RATES["block"], batch=1).apply(model, [], silent)
    after = reference.compare(model, held, None, lambda done, total: None)
    assert sum(record["loss_last"]) < sum(record["loss_first"])
    assert after["kl"] < 0.9 * before["kl"]


@pytest.mark.parametrize("layer", [0, 2])
def test_the_basis_outlives_a_kill(
    make_checkpoint: Callable[..., Path], texts: list[TextSource], tmp_path: Path, layer: int
) -> None:
    """The step that narrowed is finished by then, and taken from what it has left."""
    base, told = Checkpoint(make_checkpoint("llama")), list[str]()
    recipe: list[Step] = [Width(hidden=48), Heal(400, "block", batch=4)]

    def dying(what: str, done: int, total: int) -> None:
        if (what, done) == ("heal: layers", layer):
            raise Killed

    def run(name: str, progress: Progress) -> Checkpoint:
        return compress(base, recipe, tmp_path / name, texts=texts, tokens=600, sequence=48, progress=progress)

    whole = run("whole", lambda what, done, total: None)
    with pytest.raises(Killed):
        run("out", dying)
    assert run("out", lambda what, done, total: told.append(what)).digest == whole.digest
    assert not any(what.startswith("width") for what in told)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_model_that_is_its_base_has_nothing_to_learn(
    base: Checkpoint, opened: Any, batches: list[list[int]], silent: Progress, method: Any
) -> None:
    model = opened(base)
    model.base, model.healing = Model.of(base), None
    before = dict(model.pieces)
    record = Heal(600, method, alpha=1.0, lr=0.5).apply(model, batches, silent)
    assert record["loss_last"] == [0]
    assert model.pieces == before  # not a byte has changed


def test_little_text_is_warned_of(cut: Cut, batches: list[list[int]], silent: Progress) -> None:
    model = cut("out")
    model.healing = None
    held = sum(map(len, batches))
    record = Heal(3 * held, "full").apply(model, batches, silent)
    assert record["text"] == {"sequences": len(batches), "tokens": held}
    assert record["warnings"] == [f"heal: {held} tokens of text were read 3 times over"]


@pytest.mark.parametrize(("ffn", "method"), [(112, "lora"), (32, "full")])
def test_the_method_follows_from_what_is_gone(
    checkpoint: Checkpoint, opened: Any, batches: list[list[int]], silent: Progress, ffn: int, method: str
) -> None:
    model = opened(checkpoint)
    model.base = Model.of(checkpoint)
    Width(ffn, score="act", update="none").apply(model, batches, silent)
    assert Heal(100).apply(model, batches, silent)["method"] == method


def test_options() -> None:
    assert parse("compress", "heal:tokens=50M,method=block") == Heal(50_000_000, "block")
    assert spec_of(Heal(1000, alpha=0.5)) == "heal:tokens=1000,alpha=0.5"
    assert Heal(0).idle({}) and not Heal(1).idle({})
    config = {"hidden_size": 64}
    assert Heal(5).plan(config) == config
    wrong = (
        "tokens=-1",
        "tokens=5,tau=0",
        "tokens=5,alpha=1.5",
        "tokens=5,rank=0",
        "tokens=5,lr=0",
        "tokens=5,batch=0",
    )
    for options in wrong:
        with pytest.raises(BadOption, match="not possible"):
            parse("compress", f"heal:{options}")
