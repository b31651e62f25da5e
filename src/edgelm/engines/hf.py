"""Plain transformers, static batches in file order, as OpenCompass 0.3.1 runs them: slow, and the oracle."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import torch
import transformers

from edgelm.chat import Prompt, Prompting
from edgelm.checkpoint import Checkpoint
from edgelm.engines.base import Reply, Request
from edgelm.errors import BadFile, BadOption, Unsupported
from edgelm.stock import load_model, load_tokenizer, require_known


@dataclass(frozen=True)
class HF:
    """Settings of the engine. `dtype` auto computes in FP32 on a CPU and in FP16, as OpenCompass does, on a GPU."""

    batch: int = 8
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"

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
            "torch": torch.__version__, "transformers": transformers.__version__,
        }  # fmt: skip

    @contextlib.contextmanager
    def open(self, checkpoint: Checkpoint, prompting: Prompting) -> Iterator[HFSession]:
        """Load model and tokenizer."""
        yield HFSession(checkpoint, prompting, batch=self.batch, dtype=getattr(torch, self._dtype), device=self._device)


class HFSession:
    """A loaded model that answers greedily, with every other setting of its generation config left as it is."""

    def __init__(
        self, checkpoint: Checkpoint, prompting: Prompting, *, batch: int, dtype: torch.dtype, device: str
    ) -> None:
        if prompting == "chat" and not checkpoint.chat_template:
            raise BadOption(f"{checkpoint.path} has no chat template", mend="use --prompting base")
        self.prompting, self.batch, self.device = prompting, batch, device
        self.name = checkpoint.path
        require_known(checkpoint)  # the configuration is named before the tokenizer, if both are wrong
        self.tokenizer = _as_opencompass(load_tokenizer(checkpoint), checkpoint)
        self.model = load_model(checkpoint, dtype, device)
        self.model.generation_config.do_sample = False
        self.context = _context(checkpoint)
        self._ends = self._end_tokens()

    def _end_tokens(self) -> list[int]:
        """Ids that end an answer. A chat's also end at the tokenizer's own end-of-text."""
        ends = self.model.generation_config.eos_token_id
        ids = list(ends) if isinstance(ends, list) else [] if ends is None else [ends]
        own = self.tokenizer.eos_token_id
        return [*ids, own] if self.prompting == "chat" and own is not None and own not in ids else ids

    @property
    def _pad(self) -> int:
        candidates = (
            self.tokenizer.pad_token_id, self.model.generation_config.pad_token_id, self.tokenizer.eos_token_id,
        )  # fmt: skip
        return next((token for token in candidates if token is not None), 0)

    def text(self, prompt: Prompt) -> str:
        """What the model is given, as text."""
        if self.prompting == "base":
            return prompt.base_text()
        try:
            return self.tokenizer.apply_chat_template(prompt.messages(), add_generation_prompt=True, tokenize=False)
        except Exception as error:  # a template is a program, which may fail in any way
            raise BadFile(f"the chat template of {self.name} does not work", why=_first_line(error),
                          mend="mend the template, or use --prompting base") from None  # fmt: skip

    def answer(self, requests: Sequence[Request]) -> Iterator[list[Reply]]:
        """Answer in batches of consecutive rows: a row's batch follows from its place, not from what else is asked."""
        ordered = sorted(requests, key=lambda request: request.index)
        for _, rows in groupby(ordered, key=lambda request: (request.index // self.batch, request.max_tokens)):
            yield self._batch(list(rows))

    @torch.inference_mode()
    def _batch(self, requests: list[Request]) -> list[Reply]:
        self.tokenizer.pad_token_id = self._pad
        inputs = self.tokenizer(
            [self.text(request.prompt) for request in requests],
            return_tensors="pt", padding=True, truncation=True, max_length=self.context,
            add_special_tokens=self.prompting == "base",
        ).to(self.device)  # fmt: skip
        stops = list(requests[0].stop)
        extra: dict[str, Any] = {"stop_strings": stops, "tokenizer": self.tokenizer} if stops else {}
        output_BT = self.model.generate(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"],
            max_new_tokens=requests[0].max_tokens, pad_token_id=self._pad, eos_token_id=self._ends or None, **extra,
        )  # fmt: skip
        prompt_length = inputs["input_ids"].shape[1]
        counts = inputs["attention_mask"].sum(dim=1).tolist()
        return [
            self._reply(request, row.tolist(), count)
            for request, row, count in zip(requests, output_BT[:, prompt_length:], counts, strict=True)
        ]

    def _reply(self, request: Request, ids: list[int], prompt_tokens: int) -> Reply:
        end = next((place for place, token in enumerate(ids) if token in self._ends), None)
        made = len(ids) if end is None else end + 1
        while request.stop and end is None and made and ids[made - 1] == self._pad:
            made -= 1  # padding behind a stop string, while other rows went on
        chat = self.prompting == "chat"
        text = self.tokenizer.decode(ids, skip_special_tokens=not chat)
        stops = [*request.stop, *(self.tokenizer.decode([token]) for token in self._ends if chat)]
        cut = text
        for stop in filter(None, stops):
            cut = cut.split(stop)[0]
        finish: Literal["stop", "length"] = "stop" if end is not None or len(cut) < len(text) else "length"
        return Reply(request.key, cut, made, prompt_tokens, finish)

    @torch.inference_mode()
    def loglikelihood(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Natural log of each continuation's probability after its context, summed over its tokens, in FP32.

        A context too long loses its beginning; an empty one is the token that begins a text.

        Raises:
            Unsupported: a continuation fills the model's whole context.
        """
        results = []
        for context, continuation in pairs:
            before, whole = (self.tokenizer(text)["input_ids"] for text in (context, context + continuation))
            own = len(whole) - len(before)
            if own >= self.context:
                raise Unsupported(f"a continuation of {own} tokens fills the context of {self.context}",
                                  mend="give shorter ones")  # fmt: skip
            begin = self.tokenizer.bos_token_id if self.tokenizer.bos_token_id is not None else self._pad
            ids_BT = torch.tensor([(whole if before else [begin, *whole])[-self.context :]], device=self.device)
            length = ids_BT.shape[1]
            logits_TV = self.model(ids_BT).logits[0, length - own - 1 : length - 1].float()
            logs_TV = torch.log_softmax(logits_TV, dim=-1)
            results.append(logs_TV.gather(1, ids_BT[0, length - own :, None]).sum().item())
        return results


def _as_opencompass(tokenizer: Any, checkpoint: Checkpoint) -> Any:
    """The tokenizer, padding and truncating on the left, and cleaning up as it did when the protocol was run."""
    tokenizer.padding_side = tokenizer.truncation_side = "left"
    # The protocol was run with transformers 4.44, which takes the blank before punctuation away unless told not to.
    tokenizer.clean_up_tokenization_spaces = checkpoint.tokenizer_config.get("clean_up_tokenization_spaces", True)
    tokenizer.clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output = True
    return tokenizer


def _context(checkpoint: Checkpoint) -> int:
    """The prompt's longest length in tokens; longer ones lose their beginning."""
    config = checkpoint.config
    for value in (config.get("max_position_embeddings"), config.get("seq_length"), config.get("n_positions"),
                  checkpoint.tokenizer_config.get("model_max_length")):  # fmt: skip
        if isinstance(value, int):
            return value
    raise BadFile(f"{checkpoint.path}/config.json names no context length", mend="set max_position_embeddings")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
