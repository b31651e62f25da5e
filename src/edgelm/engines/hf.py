"""Plain transformers, static batches in file order, as OpenCompass 0.3.1 runs them: slow, and the oracle."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import torch
import transformers

from edgelm.chat import Prompt, Prompting
from edgelm.checkpoint import Checkpoint
from edgelm.engines.base import Likelihood, Reply, Request
from edgelm.engines.render import REVISION as RENDERING
from edgelm.engines.render import Rendering, Truncate
from edgelm.engines.stopping import Ending
from edgelm.errors import BadOption, Unsupported
from edgelm.stock import load_model

_POSITIONS = ("wpe", "embed_positions", "position_embeddings")  # what transformers calls a table of learned positions


@dataclass(frozen=True)
class HF:
    """Settings of the engine.

    Attributes:
        batch: consecutive rows that are answered together.
        dtype: auto computes in FP32 on a CPU and in FP16, as OpenCompass does, on a GPU.
        device: auto is a GPU if there is one.
        truncate: which part of a prompt that is too long goes; room leaves room for the answer.
        code: run the Python code that a checkpoint brings along, with all your rights; without it none is run.
    """

    batch: int = 8
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    truncate: Truncate = "left"
    code: bool = False

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise BadOption(f"batch={self.batch} is not possible", mend="give 1 or more")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise Unsupported("device=cuda, but torch sees no GPU", mend="use device=cpu")

    @property
    def _device(self) -> str:
        return ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device

    @property
    def _dtype(self) -> str:
        return ("float32" if self._device == "cpu" else "float16") if self.dtype == "auto" else self.dtype

    @property
    def identity(self) -> dict[str, Any]:
        """All that may change an answer."""
        return {
            "engine": "hf", "batch": self.batch, "dtype": self._dtype, "device": self._device,
            "truncate": self.truncate, "rendering": RENDERING,
            "torch": torch.__version__, "transformers": transformers.__version__,
            **({"code": True} if self.code else {}),
        }  # fmt: skip

    @property
    def together(self) -> int:
        """Consecutive rows that share a batch, whose padding is part of the arithmetic."""
        return self.batch

    @contextlib.contextmanager
    def open(self, checkpoint: Checkpoint, prompting: Prompting) -> Iterator[HFSession]:
        """Load model and tokenizer."""
        rendering = self._rendering(checkpoint, prompting)
        model = load_model(checkpoint, getattr(torch, self._dtype), self._device, code=self.code)
        yield HFSession(rendering, model, batch=self.batch, device=self._device)

    def around(self, model: Any, checkpoint: Checkpoint, prompting: Prompting) -> HFSession:
        """A session around a model that is loaded already, whose device and dtype stay what they are."""
        return HFSession(self._rendering(checkpoint, prompting), model, batch=self.batch, device=model.device.type)

    def _rendering(self, checkpoint: Checkpoint, prompting: Prompting) -> Rendering:
        return Rendering(checkpoint, prompting, self.truncate, code=self.code)


class HFSession:
    """A loaded model that answers greedily."""

    def __init__(self, rendering: Rendering, model: Any, *, batch: int, device: str) -> None:
        self.rendering, self.model, self.batch, self.device = rendering, model, batch, device
        self.model.generation_config.do_sample = False
        tables = (name for name, module in model.named_modules() if isinstance(module, torch.nn.Embedding))
        rendering.learned_positions = any(name.endswith(_POSITIONS) for name in tables)

    def text(self, prompt: Prompt) -> str:
        """What the model is given, as text."""
        return self.rendering.text(prompt)

    def answer(self, requests: Sequence[Request]) -> Iterator[list[Reply]]:
        """Answer in batches of consecutive rows: a row's batch follows from its place, not from what else is asked."""
        ordered = sorted(requests, key=lambda request: request.index)
        for _, rows in groupby(ordered, key=lambda each: (each.index // self.batch, each.max_tokens)):
            yield self._batch(list(rows))

    @torch.inference_mode()
    def _batch(self, requests: list[Request]) -> list[Reply]:
        prompts = [self.rendering.prompt_ids(request) for request in requests]
        self.rendering.tokenizer.pad_token_id = self.rendering.pad
        inputs = self.rendering.tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(self.device)
        start = inputs["input_ids"].shape[1]
        endings = [Ending(request, self.rendering.tokenizer, self.rendering.ends) for request in requests]
        stops = [_Stops(endings, start)] if any(request.stop for request in requests) else []
        output_BT = self.model.generate(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"],
            max_new_tokens=requests[0].max_tokens, pad_token_id=self.rendering.pad,
            eos_token_id=self.rendering.ends or None, tokenizer=self.rendering.tokenizer,
            stopping_criteria=transformers.StoppingCriteriaList(stops),
        )  # fmt: skip
        made_BT = output_BT[:, start:].tolist()
        return [
            self.rendering.reply(request, ending.part(ids), len(prompt))
            for request, ending, ids, prompt in zip(requests, endings, made_BT, prompts, strict=True)
        ]

    def loglikelihood(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Natural log of each continuation's probability after its context, summed over its tokens, in FP32."""
        return [each.log for each in self.weigh([self.rendering.pair_ids(*pair) for pair in pairs])]

    @torch.inference_mode()
    def weigh(self, texts: Sequence[tuple[Sequence[int], int]]) -> list[Likelihood]:
        """How likely the last so many tokens of each text are after those before them, in FP32.

        Raises:
            Unsupported: the logits are not finite.
        """
        results = []
        for ids, own in texts:
            if not own:
                results.append(Likelihood(0.0, True))
                continue
            read_BT = torch.tensor([ids[:-1]], device=self.device)  # nothing is asked after the last token
            target_T = torch.tensor(ids[len(ids) - own :], device=self.device)
            logits_TV = self.model(read_BT).logits[0, len(ids) - 1 - own :].float()
            logs_TV = torch.log_softmax(logits_TV, dim=-1)
            greedy = bool((logits_TV.argmax(-1) == target_T).all())
            results.append(Likelihood(logs_TV.gather(1, target_T[:, None]).sum().item(), greedy))
        require_numbers(results, texts, self.rendering)
        return results


class _Stops(transformers.StoppingCriteria):
    """Ends each row at its own stop strings, found in its answer alone: transformers' own look into the prompt, too."""

    def __init__(self, endings: Sequence[Ending], start: int) -> None:
        self.endings, self.start = endings, start

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        made_BT = input_ids[:, self.start :].tolist()
        beams = len(made_BT) // len(self.endings)
        ended = [self.endings[row // beams].stopped(made) for row, made in enumerate(made_BT)]
        return torch.tensor(ended, device=input_ids.device)


def require_numbers(found: Sequence[Likelihood], texts: Sequence[tuple[Sequence[int], int]], made: Rendering) -> None:
    """Refuse likelihoods that are no numbers, of which any choice might seem the likeliest.

    Raises:
        Unsupported: there are some.
    """
    bad = [number for number, each in enumerate(found) if math.isnan(each.log)]
    if bad:
        ids, own = texts[bad[0]]
        raise Unsupported(
            f"the model's logits are not finite for {len(bad)} of {len(found)} texts",
            why=f"the first ends in {made.tokenizer.decode(ids[len(ids) - own :])!r:.60}; "
                "in 16 bits numbers may grow too large",
            mend="use dtype=float32 or dtype=bfloat16",
        )  # fmt: skip
