"""Train a Llama model from random weights on the corpus: Muon and AdamW, warm-up–stable–decay."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch.optim import Optimizer
from transformers import LlamaConfig, LlamaForCausalLM

from edgelm.errors import BadOption, MissingInput, UnknownName
from edgelm.files import canonical_json, disk_errors
from edgelm.shapes import Shape
from edgelm.train.base import SHAPES, TUNINGS, Example, Tuning, Work
from edgelm.train.batches import IGNORED, draw_batches, micro_batches
from edgelm.train.export import export, llama_config

METRICS = "metrics.jsonl"
RECENT = 20  # updates over which the card's loss is a mean


@dataclass(frozen=True)
class Pretrain:
    """`steps` are updates, `batch` is the tokens of one, `micro` of one pass through the model; rates are peaks.

    `muon`, `adamw`, `init` and `theta` are, unless given, those that suit the shape (`TUNINGS` in `train/base.py`).
    """

    shape: str = "mini"
    steps: int = 900
    batch: int = 1024
    micro: int = 1024
    muon: float | None = None  # learning rate of the matrices inside layers
    adamw: float | None = None  # of the embedding and the norms
    warmup: float = 0.04  # share of the updates
    decay: float = 0.4
    wd: float = 0.1  # decay of the matrices' weights
    clip: float = 1.0  # largest norm of a gradient
    init: float | None = None  # standard deviation of fresh weights
    theta: float | None = None  # base of the rotary positions
    seed: int = 0

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise UnknownName("shape", self.shape, SHAPES)
        for option in ("steps", "batch", "micro"):
            if getattr(self, option) < 1:
                raise BadOption(f"{option}={getattr(self, option)} is not possible", mend=f"{option}=1 or more")

    @property
    def tuning(self) -> Tuning:
        """What suits the shape, with what is given in its place."""
        options = {field.name: getattr(self, field.name) for field in fields(Tuning)}
        return replace(TUNINGS[self.shape], **{name: value for name, value in options.items() if value is not None})

    def run(self, work: Work) -> dict[str, Any]:
        """Train, write a line of metrics an update, and export the model.

        Raises:
            BadOption: a sequence is longer than the shape's context, or the loss stopped being a number.
            MissingInput: no sequences.
            Unsupported: a weight does not fit into fp16.
            NoSpace: the disk is full.
        """
        shape = replace(SHAPES[self.shape], vocab=len(work.tokenizer))
        _require_fitting(work.examples, shape)
        model = self._fresh_model(shape, work.tokenizer)
        losses: list[float] = []
        with disk_errors(work.folder), (work.folder / METRICS).open("wb") as log:
            for metrics in self._updates(model, work.examples):
                losses.append(metrics["loss"])
                log.write(canonical_json(metrics) + b"\n")
                log.flush()
                work.progress("pretrain", metrics["step"], self.steps)
        export(model, shape, self.tuning.theta, work.tokenizer, work.folder)
        recent = losses[-RECENT:]
        return {"step": "pretrain", "parameters": shape.parameters, "loss": round(sum(recent) / len(recent), 4)}

    def schedule(self, update: int) -> float:
        """The share of the peak rate at an update (from 0): up, level, and linearly down to the end."""
        up, down = max(1, round(self.warmup * self.steps)), max(1, round(self.decay * self.steps))
        return min(1.0, (update + 1) / up, (self.steps - update) / down)

    def _fresh_model(self, shape: Shape, tokenizer: Any) -> LlamaForCausalLM:
        tuning = self.tuning
        config = LlamaConfig(**llama_config(shape, tuning.theta, tokenizer, "float32"), initializer_range=tuning.init)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(self.seed)
            model = LlamaForCausalLM(config)
            for name, parameter in model.named_parameters():
                if name.endswith(("o_proj.weight", "down_proj.weight")):  # what adds to the residual stream
                    parameter.div_(math.sqrt(2 * shape.layers))
        return model

    def _updates(self, model: LlamaForCausalLM, examples: Sequence[Example]) -> Iterator[dict[str, Any]]:
        optimizers = self._optimizers(model)
        batches = draw_batches(examples, self.batch, self.seed)
        tokens = 0
        for update in range(self.steps):
            batch = next(batches)
            tokens += sum(len(example.ids) for example in batch)
            loss = self._backward(model, batch)
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), self.clip).item()
            if not math.isfinite(loss) or not math.isfinite(norm):
                raise BadOption(f"the loss or its gradient is no number at update {update + 1}",
                                why="the weights have blown up", mend="lower muon= or adamw=")  # fmt: skip
            scale = self.schedule(update)
            for optimizer, rate in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate * scale
                optimizer.step()
                optimizer.zero_grad()
            yield {
                "step": update + 1,
                "tokens": tokens,
                "loss": loss,
                "lr": self.tuning.muon * scale,
                "grad_norm": norm,
            }

    def _optimizers(self, model: LlamaForCausalLM) -> list[tuple[Optimizer, float]]:
        inside = {name: parameter for name, parameter in model.model.layers.named_parameters() if parameter.ndim == 2}
        matrices = list(inside.values())
        known = {id(parameter) for parameter in matrices}
        rest = [parameter for parameter in model.parameters() if id(parameter) not in known]
        return [
            (torch.optim.Muon(matrices, weight_decay=self.wd, adjust_lr_fn="match_rms_adamw"), self.tuning.muon),
            (torch.optim.AdamW(rest, betas=(0.9, 0.95), weight_decay=0.0), self.tuning.adamw),
        ]

    def _backward(self, model: LlamaForCausalLM, batch: Sequence[Example]) -> float:
        """Add the gradient of the mean loss over all answer tokens of the batch; returns that loss."""
        answers = sum(len(example.ids) - example.given for example in batch)
        total = 0.0
        for ids_BT, labels_BT in micro_batches(batch, self.micro):
            hidden_BTD = model.model(input_ids=ids_BT, use_cache=False).last_hidden_state[:, :-1]
            next_BT = labels_BT[:, 1:]
            asked_BT = next_BT != IGNORED  # logits are made where there is loss only
            loss = F.cross_entropy(model.lm_head(hidden_BTD[asked_BT]).float(), next_BT[asked_BT], reduction="sum")
            (loss / answers).backward()
            total += loss.item()
        return total / answers


def _require_fitting(examples: Sequence[Example], shape: Shape) -> None:
    if not examples:
        raise MissingInput("the corpus has no sequence to train on", mend="raise corpus:longest=, or give more data")
    longest = max(len(example.ids) for example in examples)
    if longest > shape.context:
        raise BadOption(f"a sequence has {longest} tokens, the shape holds {shape.context}",
                        mend=f"corpus:longest={shape.context}, or a pretrain:shape= with a longer context")  # fmt: skip
