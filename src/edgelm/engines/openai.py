"""Any OpenAI-compatible completions server: llama.cpp, vLLM, SGLang, MLC; prompts by the checkpoint's own tokenizer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from edgelm.chat import Prompt, Prompting
from edgelm.checkpoint import Checkpoint
from edgelm.engines.base import Reply, Request
from edgelm.engines.completions import Server
from edgelm.engines.render import REVISION as RENDERING
from edgelm.engines.render import Rendering, Truncate
from edgelm.errors import BadOption, Unsupported

SentAs = Literal["ids", "text", "bare"]
HALVED = "the server sent half of a character, which stands as \ufffd"
TOLD = ("meta", "root", "max_model_len")  # what some servers tell of a model beside its name


@dataclass(frozen=True)
class OpenAI:
    """Settings of the engine. The key, where one is needed, is the environment variable OPENAI_API_KEY.

    Attributes:
        url: of the API, up to and with `/v1`.
        model: the server's name for it; the only one that it serves if not given.
        concurrency: questions under way at once.
        timeout: seconds for one answer.
        prompt: how it is sent. Token ids are exact; of a text the server makes its own tokens. A bare text lacks the
            token that begins it, for a server that puts it there itself.
        truncate: which part of a prompt that is too long goes.
    """

    url: str = "http://localhost:8000/v1"
    model: str = ""
    concurrency: int = 8
    timeout: float = 600.0
    prompt: SentAs = "ids"
    truncate: Truncate = "left"

    def __post_init__(self) -> None:
        for name, value in (("concurrency", self.concurrency), ("timeout", self.timeout)):
            if value <= 0:
                raise BadOption(f"{name}={value} is not possible", mend="give 1 or more")

    @property
    def together(self) -> int:
        """As many rows are worth handing over at once."""
        return self.concurrency

    @property
    def identity(self) -> dict[str, Any]:
        """All that may change an answer, as the server tells it now; not where it is.

        Raises:
            Unsupported, BadOption, BadFile: there is no such server or model.
        """
        with contextlib.closing(self._server()) as server:
            told = {name: server.facts[name] for name in TOLD if server.facts.get(name) is not None}
            return {"engine": "openai", "model": server.model, "server": server.software, **told,
                    "prompt": self.prompt, "truncate": self.truncate, "rendering": RENDERING}  # fmt: skip

    @contextlib.contextmanager
    def open(self, checkpoint: Checkpoint, prompting: Prompting) -> Iterator[OpenAISession]:
        """Load the tokenizer and find the model on the server."""
        rendering = Rendering(checkpoint, prompting, self.truncate)
        with contextlib.closing(self._server()) as server:
            yield OpenAISession(rendering, server, concurrency=self.concurrency, sent_as=self.prompt)

    def _server(self) -> Server:
        return Server(self.url, self.model, self.timeout)


class OpenAISession:
    """A model on a server that answers greedily."""

    def __init__(self, rendering: Rendering, server: Server, *, concurrency: int, sent_as: SentAs) -> None:
        self.rendering, self.server, self.concurrency, self.sent_as = rendering, server, concurrency, sent_as

    def text(self, prompt: Prompt) -> str:
        """What the model is given, as text."""
        return self.rendering.text(prompt)

    def answer(self, requests: Sequence[Request]) -> Iterator[list[Reply]]:
        """Answers, as they come. Tokenizers are used by this thread alone; the others wait for the server.

        Raises:
            Unsupported: the server refuses a question, reads other tokens than the checkpoint's, or is gone.
        """
        pool = ThreadPoolExecutor(self.concurrency)
        running: dict[Future[dict[str, Any]], tuple[Request, list[int]]] = {}
        try:
            for request in requests:
                ids = self.rendering.prompt_ids(request)
                running[pool.submit(self.server.complete, self._question(request, ids))] = request, ids
                if len(running) >= 2 * self.concurrency:
                    yield self._answered(running)
            while running:
                yield self._answered(running)
        finally:
            pool.shutdown(cancel_futures=True)

    def _answered(self, running: dict[Future[dict[str, Any]], tuple[Request, list[int]]]) -> list[Reply]:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        return [self._reply(*running.pop(each), each.result()) for each in done]

    def _question(self, request: Request, ids: list[int]) -> dict[str, Any]:
        """What is sent: OpenAI's fields, and what single servers want to be greedy and exact; others pass over it."""
        penalty = self.rendering.generation.repetition_penalty or 1.0
        return {
            "prompt": self._prompt(ids), "max_tokens": request.max_tokens, "temperature": 0, "seed": 0,
            "stop": list(request.stop) or None,
            "stop_token_ids": self.rendering.ends, "repetition_penalty": penalty,  # vLLM, SGLang
            "repeat_penalty": penalty, "repeat_last_n": -1,  # llama.cpp
            "add_special_tokens": False, "skip_special_tokens": self.rendering.prompting == "base",
            "return_token_ids": True,
        }  # fmt: skip

    def _prompt(self, ids: list[int]) -> list[int] | str:
        """As ids, or as the text of exactly these tokens, in which special ones are spelled out."""
        tokenizer = self.rendering.tokenizer
        if self.sent_as == "ids":
            return ids
        bare = self.sent_as == "bare" and ids[:1] == [tokenizer.bos_token_id]
        return tokenizer.decode(ids[1:] if bare else ids, clean_up_tokenization_spaces=False)

    def _reply(self, request: Request, ids: list[int], choice: dict[str, Any]) -> Reply:
        """From the ids that came back, as every engine reads them; from the text where a server tells no ids."""
        usage = choice["usage"]
        self._require_same(usage.get("prompt_tokens"), len(ids))
        if isinstance(made := choice.get("token_ids"), list):
            return self.rendering.reply(request, made, len(ids))
        text, tokenizer = _whole(choice["text"]), self.rendering.tokenizer
        note = HALVED if text != choice["text"] else None
        if self._drops_first_blank:
            text = text.removeprefix(" ")
        if tokenizer.clean_up_tokenization_spaces:
            text = tokenizer.clean_up_tokenization(text)
        finish: Literal["stop", "length"] = "length" if choice.get("finish_reason") == "length" else "stop"
        tokens = usage.get("completion_tokens", len(tokenizer(text, add_special_tokens=False)["input_ids"]))
        return Reply(request.key, self.rendering.cut(text, request.stop), tokens, len(ids), finish, note)

    @cached_property
    def _drops_first_blank(self) -> bool:
        """Whether tokens decoded by themselves lack the blank that begins them, as SentencePiece's do."""
        tokenizer = self.rendering.tokenizer
        one, both = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("a", "a the"))
        return both[: len(one)] == one and not tokenizer.decode(both[len(one) :]).startswith(" ")

    def _require_same(self, read: int | None, given: int) -> None:
        """Refuse a server that reads a prompt as another number of tokens: it would answer another question."""
        if read is not None and read != given:
            raise Unsupported(
                f"the server reads a prompt as {read} tokens, the checkpoint as {given}",
                why="it has another tokenizer, or puts a beginning of its own before texts",
                mend="serve the same checkpoint; give prompt=ids, or prompt=bare if it puts the beginning there itself",
            )

    def loglikelihood(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Natural log of each continuation's probability after its context, from the log-probabilities of an echo.

        Raises:
            Unsupported: the server gives no log-probabilities of a prompt.
        """
        texts = [self.rendering.pair_ids(*pair) for pair in pairs]
        with ThreadPoolExecutor(self.concurrency) as pool:
            choices = list(pool.map(self.server.complete, (self._echo(ids) for ids, _ in texts)))
        return [self._weight(choice, ids, own) for choice, (ids, own) in zip(choices, texts, strict=True)]

    def _echo(self, ids: list[int]) -> dict[str, Any]:
        return {"prompt": ids, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}

    def _weight(self, choice: dict[str, Any], ids: list[int], own: int) -> float:
        values = (choice.get("logprobs") or {}).get("token_logprobs") or []
        if len(values) < len(ids):
            raise Unsupported("this server tells no log-probabilities of a prompt", why="it passes over `echo`",
                              mend="serve the model with vLLM or SGLang, or use the engine local")  # fmt: skip
        return float(sum(values[len(ids) - own : len(ids)]))


def _whole(text: str) -> str:
    """A text that files can hold: JSON can spell half of a surrogate pair, as servers do that part text by tokens."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
