"""What a recipe will take, before anything is read or trained: parameters, operations, hours, disk and memory.

No torch. What is no arithmetic but an estimate says "about".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgelm.errors import BadOption
from edgelm.shapes import Shape
from edgelm.train.costs.figures import clock, short, size
from edgelm.train.costs.flops import flops_per_token, peak
from edgelm.train.pretrain import Pretrain

GPU = "NVIDIA H100"  # what hours are reckoned for; an H200 computes as fast
SMALL, LARGE = 100_000_000, 300_000_000  # parameters from which matrices are large enough for the targets, the higher
MUST, AIM = {False: 0.30, True: 0.40}, {False: 0.45, True: 0.50}  # shares of the peak (MFU), by whether it is large
MANY = 8  # GPUs of a usual host
LOGITS = 2**28  # values of the loss's chunk on a GPU, as in `train/loop/loss.py`
STATES = 5  # on disk at most: three newest, the marked one, and one being written
MICRO = 65_536  # tokens of a pass on a GPU where the step does not say, as in `train/stage.py`
DOCUMENT = 450  # tokens of a C4 document, about
INDEX = 15  # bytes of a document in the index of a shard


@dataclass(frozen=True)
class Plan:
    """A training run as numbers; bytes are bytes, and times follow from shares of a GPU's peak."""

    name: str  # of the shape
    shape: Shape
    context: int  # tokens of a row
    batch: int  # tokens of an update, over all GPUs
    steps: int  # updates
    micro: int  # tokens of one pass on one GPU
    plain: bool  # AdamW for everything
    corpus: int | None  # tokens that are read, if known
    gpus: int

    @property
    def tokens(self) -> int:
        """Tokens trained on."""
        return self.batch * self.steps

    @property
    def checkpoint_bytes(self) -> int:
        """Bytes of the weights that are written, in fp16."""
        return 2 * self.shape.parameters

    @property
    def flops(self) -> int:
        """Operations of the whole run."""
        return flops_per_token(self.shape, self.context) * self.tokens

    def hours(self, share: float, gpus: int = 1) -> float:
        """Hours at that share of the peak of so many GPUs of the class H100."""
        best = peak(GPU)
        assert best is not None
        return self.flops / (share * best * gpus) / 3600

    @property
    def targets(self) -> tuple[float, float]:
        """The shares of the peak that training must reach and aims at."""
        large = self.shape.parameters >= LARGE
        return MUST[large], AIM[large]

    @property
    def optimiser_bytes(self) -> int:
        """Bytes of the optimisers' state: one float32 a parameter for Muon, two for AdamW."""
        inside = 0 if self.plain else sum(
            math.prod(each) for name, each in self.shape.tensors.items() if ".layers." in name and len(each) == 2
        )  # fmt: skip
        return 4 * inside + 8 * (self.shape.parameters - inside)

    @property
    def state_bytes(self) -> int:
        """Bytes of one state to go on from: float32 weights, and the optimisers."""
        return 4 * self.shape.parameters + self.optimiser_bytes

    @property
    def shard_bytes(self) -> int:
        """Bytes of the tokenized text, about."""
        tokens = self.corpus or self.tokens
        return tokens * (2 if self.shape.vocab <= 2**16 else 4) + INDEX * (tokens // DOCUMENT)

    @property
    def memory(self) -> dict[str, int]:
        """Bytes on each GPU by what they hold, about: compiled layers, every GPU with all of the weights (DDP)."""
        weights = 4 * self.shape.parameters
        return {
            "weights": weights + 2 * self.shape.parameters,  # and their bfloat16 copies
            "gradients": weights * (2 if self.gpus > 1 else 1),  # and the buckets that are exchanged
            "optimisers": self.optimiser_bytes,
            "activations": self.micro * _activations(self.shape),
            "loss": _loss(self.shape, self.micro),
        }

    def _time(self, gpus: int) -> str:
        must, aim = (3600 * self.hours(share, gpus) for share in self.targets)
        if self.shape.parameters < SMALL:
            least = f"more than {clock(aim)}" if aim >= 1 else "seconds"
            return f"{least}: layers this narrow do not fill a GPU"
        return f"about {clock(must)} at {self.targets[0]:.0%} of the peak, {clock(aim)} at {self.targets[1]:.0%}"

    def rows(self) -> list[tuple[str, str]]:
        """The plan as a table: what, and how much."""
        s, memory = self.shape, self.memory
        seen = f"{self.tokens / self.corpus:.2g} × the {short(self.corpus)} that are read; " if self.corpus else ""
        return [
            ("shape", f"{self.name}: {s.layers} layers × {s.width} × {s.ffn}, vocabulary {s.vocab:,}, {s.family}"),
            ("parameters", f"{s.parameters:,}"),
            ("checkpoint", f"{self.checkpoint_bytes:,} bytes (fp16)"),
            ("tokens", f"{short(self.tokens)} ({seen}{self.tokens / s.parameters:.3g} a parameter)"),
            ("updates", f"{self.steps:,} of {self.batch:,} tokens, rows of {self.context:,}"),
            ("operations", f"{self.flops:.3g} ({flops_per_token(s, self.context) / 1e9:.3f}·10⁹ a token)"),
            *((f"on {_gpus(count)}, class H100", self._time(count)) for count in sorted({1, self.gpus, MANY})),
            ("disk", f"about {size(self.shard_bytes)} of shards, up to {size(STATES * self.state_bytes)} of states"),
            ("memory of a GPU", f"about {size(sum(memory.values()))}: "
             + ", ".join(f"{what} {size(count)}" for what, count in memory.items())),
        ]  # fmt: skip


def plan(steps: Sequence[object], gpus: int = 1) -> Plan:
    """The plan of a recipe, from its steps `pretrain`, `tokenizer` and `corpus`, as far as they are there.

    `gpus` is the number that the memory is reckoned for; hours are given for one GPU and for eight beside it.

    Raises:
        BadOption: the rows of an update cannot be shared by so many GPUs.
    """
    pretrain = next((step for step in steps if isinstance(step, Pretrain)), Pretrain())
    named = {type(step).__name__: step for step in steps}
    vocab = getattr(named.get("Tokenizer"), "vocab", None)
    english, chinese = (getattr(named.get("Corpus"), option, None) or 0 for option in ("c4", "c4zh"))
    return plan_of(pretrain, vocab=vocab, corpus=english and english + chinese, gpus=gpus)


def plan_of(step: Pretrain, *, vocab: int | None = None, corpus: int | None = None, gpus: int = 1) -> Plan:
    """The plan of a step `pretrain`.

    Args:
        step: its options.
        vocab: tokens of the tokenizer; None for those of the shape.
        corpus: tokens that are read; None if that is not known.
        gpus: see `plan`.

    Raises:
        BadOption: the rows of an update cannot be shared by so many GPUs.
    """
    shape = replace(step.dimensions, vocab=vocab or step.dimensions.vocab)
    rows = max(1, step.tuning.batch // step.row)
    if gpus > 1 and rows % gpus:
        raise BadOption(f"an update of {rows} rows cannot be shared by {gpus} GPUs",
                        mend=f"pretrain:batch={-(-rows // gpus) * gpus * step.row}, or fewer")  # fmt: skip
    return Plan(
        name=step.shape,
        shape=shape,
        context=step.row,
        batch=rows * step.row,
        steps=step.updates(shape.parameters),
        micro=min(step.micro or MICRO, rows * step.row // gpus),
        plain=step.optimizer == "adamw",
        corpus=corpus or None,
        gpus=gpus,
    )


def _activations(s: Shape) -> int:
    """Bytes that a token leaves for the backward pass, compiled layer by layer, with a float32 residual stream.

    Of a layer: the stream before attention and before the feed-forward, both normalised; queries, keys and values, the
    attention's output and its sums; gate, up and their product.
    """
    attention = 2 * (2 * s.heads + 2 * s.kv_heads) * s.head_size + 4 * s.heads
    return s.layers * (12 * s.width + attention + 6 * s.ffn) + 10 * s.width


def _loss(s: Shape, micro: int) -> int:
    """Bytes of a chunk of logits with its gradient, and of the head's copy and gradient."""
    return min(LOGITS, micro * s.vocab) * 6 + 6 * s.head_parameters + 2 * micro * s.width


def _gpus(count: int) -> str:
    return "one GPU" if count == 1 else f"{count} GPUs"
