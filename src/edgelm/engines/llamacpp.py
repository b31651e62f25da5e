"""llama.cpp with a bundle's own weights, here, under emulation or on a device: what is scored is what is shipped."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelm.bundle import MODEL, Bundle
from edgelm.chat import Prompt, Prompting
from edgelm.checkpoint import Checkpoint
from edgelm.engines.base import Reply, Request
from edgelm.engines.render import REVISION as RENDERING
from edgelm.engines.render import Rendering, Truncate
from edgelm.engines.stopping import Ending
from edgelm.errors import BadOption, MissingInput, Unsupported
from edgelm.native.build import built
from edgelm.native.runner import Runner, command, started
from edgelm.plugins import parse

REVISION = 1  # of what this engine computes: a change that may change an answer makes another
EMULATOR = "qemu-aarch64-static"
RUNNER = "runner"  # in a bundle
RESERVED = 4096  # tokens for which memory is reserved if nothing is said
_CHUNK = 16  # tokens that are made before a stop string is looked for


@dataclass(frozen=True)
class LlamaCpp:
    """Settings of the engine.

    Attributes:
        bundle: folder that `edgelm deploy` made of the checkpoint that is asked.
        device: local is this machine's processor; emulated is the bundle's program on an imitated one; else a device,
            such as adb or ssh:user@host+port=8022 (options behind +, where they stand behind commas elsewhere).
        threads: 0 is what the program chooses; one where it is emulated.
        context: tokens of a question and its answer together, for which memory is reserved; 0 is what the model was
            made for, but at most 4,096, and with truncate=left these in any case.
        truncate: which part of a prompt that is too long goes; left leaves no room for the answer, which then goes on
            beyond what the model was made for, as those of `hf` do.
    """

    bundle: Path
    device: str = "local"
    threads: int = 0
    context: int = 0
    truncate: Truncate = "room"

    def __post_init__(self) -> None:
        for name, value in (("threads", self.threads), ("context", self.context)):
            if value < 0:
                raise BadOption(f"{name}={value} is not possible", mend="give 1 or more; 0 is what suits")

    @property
    def identity(self) -> dict[str, Any]:
        """All that may change an answer; the bundle's files say which weights and which program."""
        listing = Bundle(self.bundle).listing
        return {
            "engine": "llamacpp", "revision": REVISION, "device": self.device, "threads": self.threads,
            "context": self.context, "truncate": self.truncate, "rendering": RENDERING, "tools": listing.tools,
            "files": {name: file.sha256 for name, file in sorted(listing.files.items())},
        }  # fmt: skip

    @contextlib.contextmanager
    def open(self, checkpoint: Checkpoint, prompting: Prompting) -> Iterator[LlamaCppSession]:
        """Start the program with the bundle's weights.

        Raises:
            BadOption: the bundle is of another checkpoint.
            MissingInput: the emulator, or the bundle's program, is not there.
            Unsupported: the answers of this checkpoint need what the program does not do.
        """
        bundle = Bundle(self.bundle)
        if bundle.listing.checkpoint != checkpoint.digest:
            raise BadOption(f"{self.bundle} was not made of {checkpoint.path}",
                            why=f"it was made of the checkpoint {bundle.listing.checkpoint[:12]}…",
                            mend=f"edgelm deploy {checkpoint.path} gguf -o BUNDLE")  # fmt: skip
        bundle.verify(*(name for name in (MODEL, RUNNER) if name in bundle.listing.files))
        rendering = Rendering(checkpoint, prompting, self.truncate)
        _require_plain(rendering)
        own = rendering.context
        context = self.context or (RESERVED if self.truncate == "left" else min(own, RESERVED))
        rendering.context = min(own, context)
        with self._started(bundle, context) as runner:
            yield LlamaCppSession(rendering, runner, own)

    def _started(self, bundle: Bundle, context: int) -> AbstractContextManager[Runner]:
        if self.device == "local":
            before, runner, threads = [], built("host"), self.threads
        elif self.device == "emulated":  # threads that wait for one another spin, for long where they are imitated
            before, runner, threads = [_emulator()], _own_program(bundle), self.threads or 1
        else:
            return self._started_there(bundle, context)
        return started([*before, *command(str(runner), str(bundle.model), context=context, threads=threads)])

    def _started_there(self, bundle: Bundle, context: int) -> AbstractContextManager[Runner]:
        spec = self.device.replace("+", ",")
        if self.threads:
            raise BadOption(f"threads={self.threads} is not for a device", mend=f"device={self.device}+threads=4")
        if not hasattr(device := parse("devices", spec), "started"):
            raise BadOption(f"device={self.device} runs no bundle for an engine",
                            mend="give local, emulated, adb or ssh:user@host")  # fmt: skip
        found: AbstractContextManager[Runner] = device.started(bundle, context=context)
        return found


class LlamaCppSession:
    """A started program that answers greedily, a question at a time; `own` is the context the model was made for."""

    def __init__(self, rendering: Rendering, runner: Runner, own: int) -> None:
        self.rendering, self.runner, self.own = rendering, runner, own

    def text(self, prompt: Prompt) -> str:
        """What the model is given, as text."""
        return self.rendering.text(prompt)

    def answer(self, requests: Sequence[Request]) -> Iterator[list[Reply]]:
        """Answers, one after the other.

        Raises:
            Unsupported: a question and its answer do not fit into the memory that is reserved.
        """
        for request in requests:
            ids = self.rendering.prompt_ids(request)
            self._require_reserved(len(ids), request.max_tokens)
            yield [self.rendering.reply(request, self._made(request, ids), len(ids))]

    def _require_reserved(self, prompt: int, answer: int) -> None:
        """Refuse what truncate=left lets through; the context of the mend holds whatever else is asked, too."""
        if prompt + answer > (reserved := self.runner.ready.context):
            enough = f"context={self.own + answer}"
            raise Unsupported(
                f"a question of {prompt} tokens and an answer of up to {answer} do not fit into {reserved}",
                why="for so many tokens memory is reserved",
                mend=f"use {enough}, or truncate=room" if answer + 2 <= self.rendering.context else f"use {enough}",
            )

    def _made(self, request: Request, ids: list[int]) -> list[int]:
        """The tokens of an answer; where a string may end it, a few at a time."""
        ending, made = Ending(request, self.rendering.tokenizer, self.rendering.ends), list[int]()
        while True:
            most = min(_CHUNK, request.max_tokens - len(made)) if request.stop else request.max_tokens
            done = self.runner.generate([*ids, *made], most, ends=self.rendering.ends, reuse=bool(made))
            made += done.ids
            if done.finish == "stop":
                return [*made, *self.rendering.ends[:1]]  # the program leaves the end away, and which one it was
            if len(made) >= request.max_tokens or not done.ids or ending.stopped(made):
                return list(ending.part(made))

    def loglikelihood(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Natural log of the probability of each continuation after its context, summed over its tokens."""
        texts = [self.rendering.pair_ids(*pair) for pair in pairs]
        return [sum(self.runner.score(ids, len(ids) - own).logs) for ids, own in texts]


def _require_plain(rendering: Rendering) -> None:
    """Refuse a checkpoint whose own settings make greedy answers other than the likeliest tokens."""
    if (penalty := rendering.generation.repetition_penalty or 1.0) != 1.0:
        raise Unsupported(f"{rendering.name} asks for a repetition penalty of {penalty}",
                          why="the program on a phone gives the likeliest token",
                          mend="set repetition_penalty to 1.0 in its generation_config.json")  # fmt: skip


def _emulator() -> str:
    if not (found := shutil.which(EMULATOR)):
        raise MissingInput(f"{EMULATOR} is not installed", mend="on Debian: apt-get install qemu-user-static")
    return found


def _own_program(bundle: Bundle) -> Path:
    if RUNNER not in bundle.listing.files:
        raise MissingInput(f"{bundle.path} holds no program", why=f"it was made by {bundle.listing.target}",
                           mend="make one by the target linux-aarch64 or android")  # fmt: skip
    return bundle.path / RUNNER
