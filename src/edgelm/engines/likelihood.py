"""Log-likelihoods of many continuations: what they share is read once, and all that follows it in packed passes.

Three levels: a beginning shared by many questions, the trunk of a question shared by its choices, and a branch for each
choice. All branches of a question see its trunk without a copy of it; of equal branches one is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch

from edgelm.engines.attention import Fresh, Step
from edgelm.engines.base import Likelihood
from edgelm.engines.kv_cache import Beginning
from edgelm.engines.model import Forward
from edgelm.engines.prefixes import groups

TOKENS = 4096  # read in one pass, or one question
LOGITS = 2**28  # bytes of FP32 logits that one pass makes, or one question


@dataclass(frozen=True)
class Text:
    """The token ids of a context with its continuation, the last `own` of which are weighed."""

    ids: tuple[int, ...]
    own: int


@dataclass(frozen=True)
class Question:
    """Texts that are read together behind a beginning: their common tokens, then what each has of its own.

    Every token after which something is asked stands in a branch: beginning and trunk end before the context does.
    """

    prefix: tuple[int, ...]
    trunk: tuple[int, ...]
    texts: tuple[int, ...]

    def branches(self, texts: Sequence[Text]) -> dict[tuple[int, ...], list[int]]:
        """What is read of each text behind the trunk → the texts that read it; nothing is asked after a last token."""
        start = len(self.prefix) + len(self.trunk)
        found: dict[tuple[int, ...], list[int]] = {}
        for number in self.texts:
            found.setdefault(texts[number].ids[start:-1], []).append(number)
        return found


@dataclass
class Pass:
    """One packed forward, and for each weighed token: where its logits are, which token it is, and whose."""

    step: Step = field(default_factory=Step)
    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    texts: list[int] = field(default_factory=list)

    def add(self, ids: Sequence[int], position: int) -> int:
        """Put tokens in that follow each other, the first at that position of its text; returns where they end."""
        start = len(self.ids)
        self.ids += ids
        self.positions += range(position, position + len(ids))
        self.step.fresh.append(Fresh(start, len(self.ids)))
        return len(self.ids)


@torch.inference_mode()
def weigh(forward: Forward, texts: Sequence[Text]) -> list[Likelihood]:
    """How likely each text's own tokens are, in FP32."""
    sums, greedy = [0.0] * len(texts), [True] * len(texts)
    kept: dict[tuple[int, ...], Beginning] = {}
    for some in _passes(texts, questions(texts), LOGITS // (4 * forward.vocabulary)):
        prefixes = {question.prefix for question in some if question.prefix}
        kept = {prefix: kept.get(prefix) or forward.beginning(prefix) for prefix in prefixes}
        packed = _pack(texts, some, kept)
        logits_RV = forward.logits(packed.ids, packed.positions, packed.step, packed.wanted)
        targets_R1 = torch.tensor(packed.targets, device=logits_RV.device)[:, None]
        target_R = logits_RV.gather(1, targets_R1)[:, 0]
        logs = (target_R - logits_RV.logsumexp(-1)).tolist()
        best = (target_R == logits_RV.amax(-1)).tolist()
        for number, log, first in zip(packed.texts, logs, best, strict=True):
            sums[number] += log
            greedy[number] &= first
    return list(map(Likelihood, sums, greedy))


def questions(texts: Sequence[Text]) -> list[Question]:
    """How to read texts with something to weigh: those that share a beginning follow each other."""
    asked: dict[tuple[int, ...], list[int]] = {}  # by context
    for number, text in enumerate(texts):
        if text.own:
            asked.setdefault(text.ids[: -text.own], []).append(number)
    contexts = list(asked)
    found = []
    for group in groups(contexts):
        numbers = [number for row in group.rows for number in asked[contexts[row]]]
        rest = [texts[number].ids[len(group.prefix) : -texts[number].own] for number in numbers]
        for trunk in groups(rest, least=1):
            own = tuple(numbers[row] for row in trunk.rows)
            found += [Question(group.prefix, trunk.prefix, some) for some in ([own] if trunk.prefix else zip(own))]
    return found


def _passes(texts: Sequence[Text], asked: Iterable[Question], rows: int) -> Iterator[list[Question]]:
    """Neighbouring questions, as many as may be read at once."""
    some: list[Question] = []
    tokens = logits = 0
    for question in asked:
        branches = question.branches(texts)
        own = len(question.trunk) + sum(map(len, branches))
        wanted = sum(texts[number].own for number in question.texts)
        if some and (tokens + own > TOKENS or logits + wanted > rows):
            yield some
            some, tokens, logits = [], 0, 0
        some.append(question)
        tokens, logits = tokens + own, logits + wanted
    if some:
        yield some


def _pack(texts: Sequence[Text], some: Sequence[Question], kept: dict[tuple[int, ...], Beginning]) -> Pass:
    packed = Pass()
    for prefix, own in groupby(some, key=lambda question: question.prefix):
        start = len(packed.ids)
        for question in own:
            _add(packed, texts, question)
        if prefix:
            packed.step.shared.append((start, len(packed.ids), kept[prefix]))
    return packed


def _add(packed: Pass, texts: Sequence[Text], question: Question) -> None:
    """A question's trunk, then its branches, which see the trunk whole."""
    start = len(packed.ids)
    position = len(question.prefix)
    fork = packed.add(question.trunk, position) if question.trunk else start
    position += len(question.trunk)
    for branch, numbers in question.branches(texts).items():
        end = packed.add(branch, position)
        for number in numbers:
            text = texts[number]
            packed.wanted += range(end - text.own, end)
            packed.targets += text.ids[-text.own :]
            packed.texts += [number] * text.own
    if question.trunk:
        packed.step.across.append((fork, len(packed.ids), start, fork))
