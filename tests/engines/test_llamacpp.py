"""The program that goes onto the phone answers and weighs as transformers does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from edgelm.bundle import Bundle
from edgelm.chat import ask
from edgelm.checkpoint import Checkpoint
from edgelm.deploy.base import deploy
from edgelm.deploy.gguf import GGUF
from edgelm.engines import llamacpp
from edgelm.engines.base import Reply, Request
from edgelm.engines.hf import HF
from edgelm.engines.llamacpp import LlamaCpp
from edgelm.errors import BadFile, BadOption, MissingInput, Unsupported

TEXTS = ["The quick brown fox", "1 + 1 =", "Once upon a time there was a", "守株待兔", "a b c d e f g h i j k"]


@pytest.fixture(scope="module")
def bundled(make_checkpoint: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A checkpoint of a family and its bundle in F32, in which nothing is rounded."""

    def make(family: str) -> tuple[Checkpoint, Path]:
        checkpoint = Checkpoint(make_checkpoint(family, max_position_embeddings=256))
        out = tmp_path_factory.mktemp("bundles") / family
        deploy(checkpoint, GGUF(dtype="F32"), out)
        return checkpoint, out

    return make


def requests(stop: tuple[str, ...] = ()) -> list[Request]:
    return [Request(str(place), place, ask(text), 20, stop) for place, text in enumerate(TEXTS)]


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "phi"])
def test_it_answers_as_transformers(bundled: Any, host_runner: Path, family: str) -> None:
    checkpoint, bundle = bundled(family)
    with HF(batch=1).open(checkpoint, "base") as plain:
        wanted = {reply.key: reply for group in plain.answer(requests()) for reply in group}
        weights = plain.loglikelihood([(text, " then") for text in TEXTS])
    stop = (next(iter(wanted.values())).text[3:6],)
    with LlamaCpp(bundle).open(checkpoint, "base") as session:
        found = {reply.key: reply for group in session.answer(requests()) for reply in group}
        assert found == wanted
        assert session.loglikelihood([(text, " then") for text in TEXTS]) == pytest.approx(weights, abs=5e-3)
        (cut,) = (reply for group in session.answer(requests(stop)[:1]) for reply in group)
        assert cut.text == wanted["0"].text.partition(stop[0])[0]
        assert cut.finish == "stop"


@pytest.fixture(scope="module")
def short(make_checkpoint: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Path]:
    """A checkpoint whose context is as long as the cap of the requests, and its bundle."""
    checkpoint = Checkpoint(make_checkpoint("llama", max_position_embeddings=20))
    out = tmp_path_factory.mktemp("bundles") / "short"
    deploy(checkpoint, GGUF(dtype="F32"), out)
    return checkpoint, out


def first(engine: LlamaCpp | HF, checkpoint: Checkpoint, most: int = 20) -> Reply:
    with engine.open(checkpoint, "base") as session:
        ((reply,),) = session.answer([Request("0", 0, ask(TEXTS[0]), most)])
    return reply


def test_a_cap_that_fills_the_context_is_answered_as_the_mends_say(
    short: tuple[Checkpoint, Path], host_runner: Path
) -> None:
    checkpoint, bundle = short
    with pytest.raises(Unsupported, match="leaves no room in a context of 20") as refused:
        first(LlamaCpp(bundle), checkpoint)
    assert "truncate=left" in refused.value.mend
    wanted = first(HF(batch=1), checkpoint)
    assert wanted.tokens + wanted.prompt_tokens > 20, "the answer goes on beyond the context"
    assert first(LlamaCpp(bundle, truncate="left"), checkpoint) == wanted


def test_too_little_memory_reserved_names_what_is_enough(bundled: Any, host_runner: Path) -> None:
    checkpoint, bundle = bundled("llama")
    with pytest.raises(Unsupported, match="do not fit into 256") as refused:
        first(LlamaCpp(bundle, context=256, truncate="left"), checkpoint, 254)
    assert refused.value.mend == "use context=510, or truncate=room"
    with pytest.raises(Unsupported, match="do not fit into 256") as refused:
        first(LlamaCpp(bundle, context=256, truncate="left"), checkpoint, 255)
    assert refused.value.mend == "use context=511"
    assert first(LlamaCpp(bundle, context=511, truncate="left"), checkpoint, 255).tokens == 255
    assert first(LlamaCpp(bundle, context=256), checkpoint, 254).prompt_tokens == 2


def test_an_emulated_program_has_one_thread_unless_asked(bundled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, bundle = bundled("llama")
    told: list[list[str]] = []
    monkeypatch.setattr(llamacpp, "_emulator", lambda: "qemu")
    monkeypatch.setattr(llamacpp, "_own_program", lambda bundle: bundle.path / "runner")
    monkeypatch.setattr(llamacpp, "started", told.append)
    for threads in (0, 3):
        LlamaCpp(bundle, device="emulated", threads=threads)._started(Bundle(bundle), 64)
    assert [words[words.index("--threads") + 1] for words in told] == ["1", "3"]


def test_what_it_cannot_be_asked_is_refused(bundled: Any, make_checkpoint: Any, tmp_path: Path) -> None:
    checkpoint, bundle = bundled("llama")
    with (
        pytest.raises(BadOption, match="was not made of"),
        LlamaCpp(bundle).open(Checkpoint(make_checkpoint("qwen2")), "base"),
    ):
        pass
    with pytest.raises(MissingInput, match="is no bundle"), LlamaCpp(tmp_path).open(checkpoint, "base"):
        pass
    with pytest.raises(BadOption, match="threads=-1"):
        LlamaCpp(bundle, threads=-1)
    for device, said in (("local:threads=2", "runs no bundle"), ("ssh:me@here", "threads=2 is not for a device")):
        threads = 0 if "threads" in device else 2
        with pytest.raises(BadOption, match=said), LlamaCpp(bundle, device, threads).open(checkpoint, "base"):
            pass


def test_a_bundle_that_was_changed_is_not_asked(bundled: Any, tmp_path: Path) -> None:
    checkpoint, bundle = bundled("llama")
    copy = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    (copy / "model.gguf").write_bytes((copy / "model.gguf").read_bytes()[:-1] + b"?")
    with pytest.raises(BadFile, match="is not the file"), LlamaCpp(copy).open(checkpoint, "base"):
        pass


def test_a_repetition_penalty_is_not_passed_over(bundled: Any, tmp_path: Path) -> None:
    checkpoint, _ = bundled("llama")
    copy = tmp_path / "model"
    copy.mkdir()
    for file in checkpoint.path.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "generation_config.json").write_text('{"repetition_penalty": 1.1}')
    deploy(Checkpoint(copy), GGUF(), tmp_path / "bundle")
    with (
        pytest.raises(Unsupported, match="repetition penalty"),
        LlamaCpp(tmp_path / "bundle").open(Checkpoint(copy), "base"),
    ):
        pass


def test_its_identity_names_the_weights(bundled: Any) -> None:
    _, bundle = bundled("llama")
    files = LlamaCpp(bundle).identity["files"]
    assert files["model.gguf"] == Bundle(bundle).listing.files["model.gguf"].sha256
