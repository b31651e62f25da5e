from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.compress import judging
from edgelm.compress.base import Progress
from edgelm.compress.calibrate import draw
from edgelm.compress.depth import Depth
from edgelm.compress.heal import Heal
from edgelm.compress.judging import Judge
from edgelm.compress.kv import Kv
from edgelm.compress.quality import Reference
from edgelm.compress.run import compress
from edgelm.compress.stream.model import Model
from edgelm.compress.vocab import Vocab
from edgelm.compress.width import Width
from edgelm.data.texts import TextSource
from edgelm.errors import Unsupported
from edgelm.stock import load_model

SMALL: Any = {"tokens": 600, "sequence": 48}


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def base(make_checkpoint: Callable[..., Path]) -> Checkpoint:
    return Checkpoint(make_checkpoint("llama"))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many sequences the base was run on, each time."""
    found: list[int] = []
    real = Reference.of

    def of(base: Any, held_out: Any, progress: Any) -> Reference:
        found.append(len(held_out))
        return real(base, held_out, progress)

    monkeypatch.setattr(Reference, "of", of)
    return found


def steps_of(made: Checkpoint) -> list[dict[str, Any]]:
    said = made.card.model_extra or {}
    steps: list[dict[str, Any]] = said.get("steps") or made.card.model_dump()["steps"]
    return steps


def test_quality_after_each_step_is_that_of_the_recipe_so_far(
    base: Checkpoint, texts: list[TextSource], tmp_path: Path, runs: list[int]
) -> None:
    """What stands behind the first of two steps is what a run of that step alone comes to."""
    both = steps_of(compress(base, [Depth(1), Width(96)], tmp_path / "two", texts=texts, dtype="float32", **SMALL))
    assert len(runs) == 1  # the base
    one = compress(base, [Depth(1)], tmp_path / "one", texts=texts, dtype="float32", **SMALL)
    alone = steps_of(one)[0]["quality"]
    assert alone.pop("perplexity_original") == alone["perplexity_base"]
    assert both[0]["quality"] == pytest.approx(alone, rel=1e-6)
    assert both[1]["quality"]["kl"] > both[0]["quality"]["kl"] > 0


def test_the_last_step_has_the_quality_of_what_was_written(
    base: Checkpoint, texts: list[TextSource], tmp_path: Path
) -> None:
    made = compress(base, [Depth(1), Width(96)], tmp_path / "out", texts=texts, **SMALL)
    assert steps_of(made)[-1]["quality"] == made.card.model_dump()["quality"]


def test_each_step_has_size_reads_and_speed(base: Checkpoint, texts: list[TextSource], tmp_path: Path) -> None:
    first, second = steps_of(compress(base, [Depth(1), Width(96)], tmp_path / "out", texts=texts, **SMALL))
    assert base.parameters > first["parameters"] > second["parameters"]
    assert first["read"] > second["read"] > 0
    for step in (first, second):
        assert step["speed"]["decode"]["ms"] > 0
        assert step["speed"]["prefill"]["ms_base"] > 0


def test_the_base_is_run_again_only_where_the_text_has_other_tokens(
    base: Checkpoint, opened: Callable[[Checkpoint], Model], batches: list[list[int]], silent: Progress,
    runs: list[int], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Of the tokens that stay all of the text is made at first, and then two tokens of it are written in others."""
    kept = sorted({token for tokens in batches for token in tokens} | set(range(0, 250, 3)))
    place = {token: number for number, token in enumerate(kept)}
    plain, trimmed = opened(base), opened(base)
    trimmed.keep_rows(kept)
    trimmed.idmap = kept
    judge = Judge(opened(base), batches, "float16", silent)
    assert judge.quality(plain, plain, "it")["kl"] == 0
    own = [[place[token] for token in tokens] for tokens in batches]
    monkeypatch.setattr(judging, "in_own_tokens", lambda model, sequences: own)
    same = judge.quality(trimmed, trimmed, "it")
    assert runs == [8]
    own = [[*own[0][:5], 1, 2, 3, *own[0][7:]], *own[1:]]
    other = judge.quality(trimmed, trimmed, "it")
    assert runs == [8, 8]
    assert other["tokens"] == same["tokens"] + 1
    assert other["kl"] == pytest.approx(0, abs=1e-9)  # in these tokens too the base is what it is judged by
    assert other["perplexity"] == pytest.approx(other["perplexity_base"]) != same["perplexity"]


def test_a_shape_that_stays_is_not_timed_again(
    base: Checkpoint, texts: list[TextSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[int] = []
    real = Judge.speed
    monkeypatch.setattr(Judge, "speed", lambda judge, model: timed.append(model.layers) or real(judge, model))
    recipe = [Depth(1), Heal(tokens=200, method="block")]
    first, second = steps_of(compress(base, recipe, tmp_path / "out", texts=texts, **SMALL))
    assert timed == [3]
    assert first["speed"] == second["speed"]


def test_a_resumed_run_keeps_the_figures_of_finished_steps(
    base: Checkpoint, texts: list[TextSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while the second step writes its third layer, and once more where the first step is being judged."""
    recipe = [Width(112), Width(96)]
    whole = compress(base, recipe, tmp_path / "whole", texts=texts, **SMALL)
    real, judged = Judge.quality, list[str]()

    def quality(judge: Judge, now: Any, model: Any, what: str) -> dict[str, Any]:
        if not judged:
            judged.append("killed")
            raise Killed
        judged.append(what)
        return real(judge, now, model, what)

    monkeypatch.setattr(Judge, "quality", quality)
    put, written = Model.put_layer, list[int]()

    def put_layer(model: Model, number: int, tensors: Any) -> None:
        written.append(number)
        if len(written) == 7:
            raise Killed
        put(model, number, tensors)

    monkeypatch.setattr(Model, "put_layer", put_layer)
    for _ in range(2):
        with pytest.raises(Killed):
            compress(base, recipe, tmp_path / "out", texts=texts, **SMALL)
    resumed = compress(base, recipe, tmp_path / "out", texts=texts, **SMALL)
    assert judged == ["killed", "after width:ffn=112", "the result"]
    assert written == [0, 1, 2, 3, 0, 1, 2, 2, 3]  # nothing was made twice
    assert timeless(resumed) == timeless(whole)


def timeless(made: Checkpoint) -> dict[str, Any]:
    """A card without what differs between any two runs."""
    said = made.card.model_dump()
    said.pop("memory", None)
    for step in said["steps"]:
        del step["seconds"], step["speed"]
    return said


def test_a_second_round_knows_the_quality_of_the_first(
    base: Checkpoint, texts: list[TextSource], tmp_path: Path
) -> None:
    first = compress(base, [Depth(1)], tmp_path / "first", texts=texts, **SMALL)
    second = compress(first, [Kv(1)], tmp_path / "second", texts=texts, **SMALL)
    assert steps_of(second)[0] == steps_of(first)[0]
    page = (second.path / "report.html").read_text()
    assert "Before this run: depth:drop=1." in page


def test_the_perplexity_of_the_base_is_over_all_its_tokens_too(
    make_checkpoint: Callable[..., Path], opened: Callable[[Checkpoint], Model], texts: list[TextSource],
    tmp_path: Path, runs: list[int],
) -> None:  # fmt: skip
    base = Checkpoint(make_checkpoint("llama", vocab_size=384))
    made = compress(base, [Vocab(keep=320)], tmp_path / "out", texts=texts, dtype="float32", **SMALL)
    held_out = draw(base, texts, **SMALL).held_out
    network, losses = load_model(base, torch.float32), list[torch.Tensor]()
    for tokens in held_out:
        with torch.no_grad():
            logits = network(torch.tensor([tokens]), use_cache=False).logits[0]
        losses.append(torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(tokens[1:]), reduction="none"))
    quality = made.card.model_dump()["quality"]
    assert quality["perplexity_original"] == pytest.approx(float(torch.cat(losses).mean().exp()), rel=1e-5)
    assert quality["perplexity_base"] < 0.99 * quality["perplexity_original"]  # fewer tokens to choose among
    page = (made.path / "report.html").read_text()
    assert f"<dd>{quality['perplexity_original']:.4g}</dd>" in page
    assert "all its tokens" in page
    assert runs == [len(held_out)]  # all of the text's tokens are left


def test_every_probe_is_run_in_the_dtype_of_the_result(
    base: Checkpoint, opened: Callable[[Checkpoint], Model], edit: Any, silent: Progress, tmp_path: Path
) -> None:
    """One token overflows, and only the second probe has it."""

    def swell(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.embed_tokens.weight"][77] = 65_000
        tensors["model.layers.0.mlp.down_proj.weight"] *= 200

    model = opened(base)
    judge = Judge(model, [[5, 6, 7, 8]], "float16", silent)
    swollen = edit(Checkpoint(shutil.copytree(base.path, tmp_path / "swollen")), swell)
    assert judge.written(swollen, model, [[5, 6, 7, 8]])["kl"] > 0
    with pytest.raises(Unsupported, match="overflows"):
        judge.written(swollen, model, [[5, 6, 7, 8], [77, 6]])
