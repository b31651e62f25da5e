"""vLLM in this process, for those who have it (an extra): prompts as token ids, greedy, beginnings read once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import transformers

from edgelm.chat import Prompt, Prompting
from edgelm.checkpoint import Checkpoint
from edgelm.engines.base import Reply, Request
from edgelm.engines.prefixes import groups
from edgelm.engines.render import REVISION as RENDERING
from edgelm.engines.render import Rendering, Truncate
from edgelm.errors import BadOption, MissingPackage, Unsupported
from edgelm.stock import require_known

KEPT_ON_CPU = 4 * 2**30  # bytes of keys and values; on a GPU vLLM takes what is free


@dataclass(frozen=True)
class VLLM:
    """Settings of the engine. `dtype` auto computes in FP32 on a CPU and in FP16 on a GPU, as the engine `hf` does.

    Attributes:
        dtype: always told to vLLM, which would turn FP32 checkpoints into 16 bits of itself.
        truncate: which part of a prompt that is too long goes.
        batch: answers handed over, and kept, at once.
        memory: bytes for keys and values; 0 is what suits the device.
    """

    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    truncate: Truncate = "left"
    batch: int = 256
    memory: int = 0

    def __post_init__(self) -> None:
        if self.batch < 1 or self.memory < 0:
            name, least = ("batch", 1) if self.batch < 1 else ("memory", 0)
            raise BadOption(f"{name}={getattr(self, name)} is not possible", mend=f"give {least} or more")

    @property
    def together(self) -> int:
        """As many rows are worth handing over at once."""
        return self.batch

    @property
    def identity(self) -> dict[str, Any]:
        """All that may change an answer.

        Raises:
            MissingPackage: vLLM is not installed.
        """
        return {
            "engine": "vllm", "vllm": _vllm().__version__, "torch": torch.__version__,
            "transformers": transformers.__version__, "dtype": self._dtype, "device": _device(),
            "batch": self.batch, "truncate": self.truncate, "rendering": RENDERING,
        }  # fmt: skip

    @property
    def _dtype(self) -> str:
        return ("float32" if _device() == "cpu" else "float16") if self.dtype == "auto" else self.dtype

    @contextlib.contextmanager
    def open(self, checkpoint: Checkpoint, prompting: Prompting) -> Iterator[VLLMSession]:
        """Load model and tokenizer.

        Raises:
            MissingPackage: vLLM is not installed.
            Unsupported: vLLM does not run this model.
        """
        vllm = _vllm()
        rendering = Rendering(checkpoint, prompting, self.truncate)
        require_known(checkpoint)
        kept = self.memory or (KEPT_ON_CPU if _device() == "cpu" else None)
        try:
            model = vllm.LLM(
                model=str(checkpoint.path), dtype=self._dtype, max_model_len=rendering.context, seed=0,
                enable_prefix_caching=True, generation_config="vllm", kv_cache_memory_bytes=kept,
                trust_remote_code=False,
            )  # fmt: skip
        except (ValueError, RuntimeError, NotImplementedError) as error:
            why = " ".join(str(error).split())[:300]
            raise Unsupported(f"vLLM does not load {checkpoint.path}", why=why, mend="use the engine local") from error
        try:
            yield VLLMSession(rendering, model, vllm.SamplingParams, batch=self.batch)
        finally:
            model.llm_engine.engine_core.shutdown()


class VLLMSession:
    """A loaded model that answers greedily."""

    def __init__(self, rendering: Rendering, model: Any, settings: Any, *, batch: int) -> None:
        self.rendering, self.model, self.settings, self.batch = rendering, model, settings, batch

    def text(self, prompt: Prompt) -> str:
        """What the model is given, as text."""
        return self.rendering.text(prompt)

    def answer(self, requests: Sequence[Request]) -> Iterator[list[Reply]]:
        """Answers in groups of `batch`; first one of each beginning, which those behind it then find in the cache.

        Raises:
            Unsupported: prompt and answer do not fit into the context, beyond which vLLM does not go.
        """
        prompts = [self.rendering.prompt_ids(request) for request in requests]
        for request, ids in zip(requests, prompts, strict=True):
            self._require_room(len(ids), request.max_tokens)
        for rows in _in_turn(prompts, self.batch):
            asked = [{"prompt_token_ids": prompts[row]} for row in rows]
            outputs = self.model.generate(asked, [self._greedy(requests[row]) for row in rows], use_tqdm=False)
            yield [
                self.rendering.reply(requests[row], output.outputs[0].token_ids, len(prompts[row]))
                for row, output in zip(rows, outputs, strict=True)
            ]

    def _require_room(self, prompt: int, answer: int) -> None:
        if prompt + answer > self.rendering.context:
            raise Unsupported(
                f"a prompt of {prompt} tokens leaves no room for {answer} in a context of {self.rendering.context}",
                why="vLLM does not answer beyond it",
                mend="use truncate=mid, or the engine local, which answers as OpenCompass does",
            )

    def _greedy(self, request: Request) -> Any:
        """What a request asks for; it ends where the protocol ends it, not where vLLM would."""
        return self.settings(
            temperature=0, seed=0, max_tokens=request.max_tokens, stop=list(request.stop) or None,
            ignore_eos=True, stop_token_ids=self.rendering.ends, detokenize=bool(request.stop),
            skip_special_tokens=self.rendering.prompting == "base",
            repetition_penalty=self.rendering.generation.repetition_penalty or 1.0,
        )  # fmt: skip

    def loglikelihood(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Natural log of each continuation's probability after its context, summed over its tokens.

        Raises:
            Unsupported: a continuation fills the context, or vLLM does not tell its log-probabilities.
        """
        texts = [self.rendering.pair_ids(*pair) for pair in pairs]
        found: dict[int, float | None] = {}
        # What stands in the cache has no log-probabilities any more: first with the cache, then what fell into it.
        for anew in (False, True):
            missing = [row for row in range(len(texts)) if found.get(row) is None]
            for rows in _in_turn([texts[row][0] for row in missing], self.batch):
                asked = [missing[row] for row in rows]
                found.update(zip(asked, self._weighed([texts[row] for row in asked], anew), strict=True))
        values = [value for row in range(len(texts)) if (value := found[row]) is not None]
        if len(values) < len(texts):
            raise Unsupported("vLLM tells no log-probabilities of a prompt", mend="use the engine local")
        return values

    def _weighed(self, texts: Sequence[tuple[list[int], int]], anew: bool) -> list[float | None]:
        """The log-likelihoods of the last tokens of texts; None where the cache has swallowed one of them."""
        settings = self.settings(temperature=0, max_tokens=1, prompt_logprobs=0, detokenize=False,
                                 skip_reading_prefix_cache=anew)  # fmt: skip
        outputs = self.model.generate([{"prompt_token_ids": ids} for ids, _ in texts], settings, use_tqdm=False)
        return [_sum(output.prompt_logprobs, ids, own) for output, (ids, own) in zip(outputs, texts, strict=True)]


def _sum(logs: Sequence[Any], ids: Sequence[int], own: int) -> float | None:
    if not own:
        return 0.0
    last = list(zip(ids, logs, strict=True))[-own:] if len(logs) == len(ids) else []
    if not last or any(not told or token not in told for token, told in last):
        return None
    return float(sum(told[token].logprob for token, told in last))


def _in_turn(prompts: Sequence[Sequence[int]], batch: int) -> Iterator[list[int]]:
    """Rows in batches: one of each group with a common beginning, then all others, group after group."""
    found = groups(prompts)
    first = [group.rows[0] for group in found if group.prefix]
    rest = [row for group in found for row in (group.rows[1:] if group.prefix else group.rows)]
    for rows in (first, rest):
        for place in range(0, len(rows), batch):
            yield rows[place : place + batch]


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _vllm() -> Any:
    """The package, imported when it is wanted: it takes seconds, and few have it.

    Raises:
        MissingPackage: it is not installed.
    """
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    try:
        import vllm
    except ImportError:
        raise MissingPackage("vllm", "vllm") from None
    return vllm
