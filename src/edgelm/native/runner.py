"""A started runner: questions go to its stdin and answers come from its stdout, a JSON object a line."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO, Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgelm.errors import BadFile, BadOption, EdgelmError, Unsupported

_END_SECONDS = 10  # for a runner that was told to quit
_TOLD_LINES = 8  # of stderr, in an error
_KINDS: dict[str, type[EdgelmError]] = {"memory": Unsupported, "file": BadFile, "option": BadOption}

_Model = TypeVar("_Model", bound="_Answer")


class Process(Protocol):
    """What a runner runs in; `subprocess.Popen` with text streams is one."""

    @property
    def stdin(self) -> IO[str] | None:
        """Where questions go."""

    @property
    def stdout(self) -> IO[str] | None:
        """Where answers come from."""

    @property
    def stderr(self) -> IO[str] | None:
        """Where its log comes from; None if it is not kept."""

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""

    def kill(self) -> object:
        """End it at once."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; the exit code."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class Ready(_Answer):
    """What the runner says of itself and the model once it is loaded."""

    runner: str  # the protocol's version
    llama_cpp: str = Field(alias="llama.cpp")
    arch: str
    parameters: int
    vocab: int
    context: int  # positions that it has room for
    trained: int  # positions that the model was made for
    bos: int | None
    eos: list[int]
    threads: int
    kv: str = "f16"  # what keys and values are kept as
    load_ns: int
    memory: dict[str, int]
    foretold: int | None = None  # bytes computed before loading, if there is a limit


class Token(_Answer):
    """One token as it arrived."""

    id: int = Field(alias="token")
    text: str  # that can be shown with it; a character that is not whole yet comes later
    ns: int  # since the question was read


class Done(_Answer):
    """A whole answer. A token that ends it is not among its ids."""

    ids: list[int]
    text: str
    prompt_tokens: int
    arrived_ns: list[int]  # of each id, since the question was read
    finish: str  # "stop" or "length"
    memory: dict[str, int]


class Score(_Answer):
    """How likely given tokens are."""

    logs: list[float]  # natural logarithms of the probabilities, from the start asked for
    greedy: bool  # whether each token is the likeliest


class Rates(_Answer):
    """The machine's own rates, of all threads."""

    copy_bytes_per_second: float  # read and written
    read_bytes_per_second: float
    matrix_operations_per_second: float


def command(runner: str, model: str, *, context: int, threads: int = 0, memory_limit: int = 0) -> list[str]:
    """The command line of a runner. 0 threads: as many as suit the processor; 0 bytes: no limit."""
    words = [runner, "--model", model, "--context", str(context)]
    words += ["--threads", str(threads)] if threads else []
    return words + (["--memory-limit", str(memory_limit)] if memory_limit else [])


def started(words: Sequence[str]) -> Runner:
    """A runner on this machine, from its command line.

    Raises:
        BadOption, BadFile, Unsupported, EdgelmError: see `Runner`.
    """
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            words, stdin=pipe, stdout=pipe, stderr=pipe, text=True, encoding="utf-8", errors="replace"
        )
    except OSError as error:
        raise BadFile(f"{words[0]} cannot be run", why=error.strerror or str(error), mend="build it anew") from None
    return Runner(process)


class Runner:
    """A runner in a process that was just started; waits until the model is loaded.

    Raises:
        Unsupported: it does not fit the memory.
        BadFile: the model file is not there, or is not one.
        BadOption: an option is wrong.
        EdgelmError: it ended without a word of the protocol; its last words are in the error.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self._last_words: deque[str] = deque(maxlen=_TOLD_LINES)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            self.ready = self._as(Ready, "ready", self._hear())
        except BaseException:
            self.close()
            raise

    def generate(
        self, prompt: Sequence[int] | str, max_tokens: int, ignore_end: bool = False,
        heard: Callable[[Token], object] | None = None, *, ends: Sequence[int] | None = None, reuse: bool = False,
    ) -> Done:  # fmt: skip
        """The greedy answer to ids, or to a text that the runner cuts into tokens.

        Args:
            prompt: what to go on from.
            max_tokens: the most to generate.
            ignore_end: go on behind an end of text.
            heard: told every token when it arrives.
            ends: ids that end the answer; those of the model if not given.
            reuse: keep what the cache holds of the same beginning.
        """
        question: dict[str, Any] = {"op": "generate", "max_tokens": max_tokens, "ignore_end": ignore_end}
        question |= {"text": prompt} if isinstance(prompt, str) else {"ids": list(prompt)}
        question |= {"stream": heard is not None, "reuse": reuse} | ({"ends": list(ends)} if ends is not None else {})
        self._ask(question)
        while "token" in (answer := self._hear()):
            if heard is not None:
                heard(self._checked(Token, answer))
        return self._as(Done, "done", answer)

    def score(self, ids: Sequence[int], start: int, *, reuse: bool = False) -> Score:
        """How likely ids[start:] are, each behind those before it."""
        question = {"op": "score", "ids": list(ids), "start": start, "reuse": reuse}
        return self._as(Score, "score", self._answer(question))

    def logits(self, ids: Sequence[int], top: int, *, reuse: bool = False) -> list[tuple[int, float]]:
        """The highest logits behind ids, and whose they are."""
        pairs = self._field("logits", self._answer({"op": "logits", "ids": list(ids), "top": top, "reuse": reuse}))
        return [(int(id), float(value)) for id, value in pairs]

    def tokenize(self, text: str) -> list[int]:
        """The ids of a text, special tokens read as such; no token for the beginning is added."""
        return list(self._field("ids", self._answer({"op": "tokenize", "text": text})))

    def rates(self, seconds: float) -> Rates:
        """The machine's rates, measured for so many seconds."""
        return self._as(Rates, "rates", self._answer({"op": "rates", "seconds": seconds}))

    def memory(self) -> dict[str, int]:
        """Bytes by meter of the system: VmHWM, VmRSS, and Pss where it can be read."""
        return dict(self._field("memory", self._answer({"op": "memory"})))

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError, ValueError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(timeout=_END_SECONDS)
        except Exception:
            self._process.kill()
            self._process.wait()
        self._listener.join(timeout=_END_SECONDS)
        for stream in (self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError, ValueError):
                if stream is not None:
                    stream.close()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        self._ask(question)
        return self._hear()

    def _ask(self, question: dict[str, Any]) -> None:
        stdin = self._process.stdin
        if stdin is None:
            raise ValueError("the runner's stdin is no pipe")
        try:
            stdin.write(json.dumps(question) + "\n")
            stdin.flush()
        except (OSError, ValueError):
            raise self._died() from None

    def _hear(self) -> dict[str, Any]:
        """The next line of the protocol.

        Raises:
            EdgelmError: it is an error, or there is none.
        """
        stdout = self._process.stdout
        try:
            line = stdout.readline() if stdout is not None else ""
        except (OSError, ValueError):  # closed meanwhile, or cut off within a character
            line = ""
        if not line.endswith("\n"):
            raise self._died()
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self._strange(line)
        if isinstance(told := answer.get("error"), dict):
            kind = _KINDS.get(str(told.get("kind")), EdgelmError)
            raise kind(f"the runner: {told.get('what')}", mend=str(told.get("mend") or ""))
        return answer

    def _as(self, kind: type[_Model], name: str, answer: dict[str, Any]) -> _Model:
        return self._checked(kind, self._field(name, answer))

    def _field(self, name: str, answer: dict[str, Any]) -> Any:
        if name not in answer:
            raise self._strange(json.dumps(answer))
        return answer[name]

    def _checked(self, kind: type[_Model], value: object) -> _Model:
        try:
            return kind.model_validate(value)
        except ValidationError:
            raise self._strange(json.dumps(value)) from None

    def _strange(self, line: str) -> EdgelmError:
        return EdgelmError("the runner said what is no answer", why=line.strip()[:200],
                           mend="runner and edgelm are of different versions: make the bundle anew")  # fmt: skip

    def _died(self) -> EdgelmError:
        """The process is gone, or goes: its exit code and its last words."""
        try:
            code: int | None = self._process.wait(timeout=_END_SECONDS)
        except Exception:
            code = None
        self._listener.join(timeout=_END_SECONDS)
        ended = "it closed its answers" if code is None else f"it ended with {code}"
        words = "".join(self._last_words).strip()
        return EdgelmError("the runner has ended", why=f"{ended}: {words}" if words else ended,
                           mend="if memory was short, end other programs; then run it again")  # fmt: skip

    def _listen(self) -> None:
        """Keep the last words of its stderr, which would fill up if nobody read it."""
        stderr = getattr(self._process, "stderr", None)
        with contextlib.suppress(OSError, ValueError):
            for line in stderr or ():
                self._last_words.append(line)
