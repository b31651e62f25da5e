"""Kinship checks: whether weights descend from a known model, by the signs of sampled rows and columns.

They see through fine-tuning, rounding, pruning to zero, rescaling, dropped layers, and rows or columns that were cut
out. What was turned or permuted in both directions they do not see: that is for a reviewer, as every result here is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from edgelm.check.base import Check, Findings, finding, some
from edgelm.check.fingerprint import Fingerprint, kept_lines, vocabulary_of
from edgelm.check.look import Model
from edgelm.check.signs import SHORTEST, Line, is_matrix, not_zero, role, rows, taken_columns, taken_rows
from edgelm.check.vocabulary import TOKENIZER
from edgelm.checkpoint import Checkpoint
from edgelm.headers import Tensor

EACH_ROLE = 4  # tensors looked at of those that differ by their layer's number alone
LINES_NEEDED = 2  # that must be recognised for a tensor to be related
RELATED = 0.1  # share of the tensors looked at from which a model is


class Kinship(NamedTuple):
    """How many of a model's tensors are related to a known model."""

    related: Sequence[str]
    looked_at: int

    @property
    def found(self) -> bool:
        """Whether the models are related."""
        return len(self.related) >= max(1.0, RELATED * self.looked_at)

    def __str__(self) -> str:
        """Say how many, and which."""
        named = f" ({some(self.related, 3)})" if self.related else ""
        return f"{len(self.related)} of {self.looked_at} tensors looked at{named}"


def kinship(checkpoint: Checkpoint, known: Fingerprint) -> Kinship:
    """Which of a sample of a checkpoint's matrices are related to a known model's."""
    looked_at = sample(checkpoint)
    return Kinship([tensor.name for tensor in looked_at if is_related(tensor, known)], len(looked_at))


def sample(checkpoint: Checkpoint) -> list[Tensor]:
    """Matrices of all roles, `EACH_ROLE` at even distances of those that many layers have.

    Narrow ones are left out: their many lines say nothing.
    """
    roles: dict[str, list[Tensor]] = {}
    for name, tensor in checkpoint.tensors.items():
        if is_matrix(tensor) and min(tensor.shape) >= SHORTEST:
            roles.setdefault(role(name), []).append(tensor)
    return [found[number * len(found) // min(EACH_ROLE, len(found))]
            for found in roles.values() for number in range(min(EACH_ROLE, len(found)))]  # fmt: skip


def is_related(tensor: Tensor, known: Fingerprint) -> bool:
    """Whether lines of a matrix are those of one with the same role, at their places or at others."""
    own = role(tensor.name)
    return any(
        len(known.lookup(own, along).found(lines)) >= LINES_NEEDED
        for along, lines in _lines(tensor)
    ) or _in_place(tensor, known)  # fmt: skip


def _lines(tensor: Tensor) -> Sequence[tuple[Literal["rows", "columns"], dict[int, Line]]]:
    taken = (("rows", taken_rows(tensor)), ("columns", taken_columns(tensor)))
    return [(along, {at: line for at, line in lines.items() if line.says_something}) for along, lines in taken]  # type: ignore[misc]


def _in_place(tensor: Tensor, known: Fingerprint) -> bool:
    """Rows at their old places with values set to zero, whose signs do not count."""
    for name, kept in known.matrices.items():
        if role(name) != role(tensor.name) or kept.shape != tensor.shape:
            continue
        theirs = kept_lines(kept, "rows")
        own = rows(tensor, theirs)
        alike = sum(own[row].is_like(line, not_zero(tensor, row)) for row, line in theirs.items())
        if alike >= LINES_NEEDED:
            return True
    return False


def descent(model: Model) -> Findings:
    """MDL-05, MDL-06: against all known models that were given."""
    track, known = model.package.track, model.package.bases
    if track is None or not known:
        return
    found = {name: kinship(model.checkpoint, one) for name, one in known.items()}
    evidence = {name: {"related": list(one.related), "looked_at": one.looked_at} for name, one in found.items()}
    if track.derivation == "from-scratch":
        for name, one in found.items():
            if one.found:
                what = f"related to {name}: {one}"
                yield finding("MDL-05", model.at("checkpoint"), what, evidence=evidence)
        return
    named = _named(model)
    if named is not None and not found[named].found:
        what = f"not related to {named}, the named base: {found[named]}"
        yield finding("MDL-06", model.at("checkpoint"), what, evidence=evidence)
    for name, one in found.items():
        if name != named and one.found and (named is None or len(one.related) > len(found[named].related)):
            what = f"related to {name}, which the card does not name: {one}"
            yield finding("MDL-06", model.at("checkpoint"), what, evidence=evidence)


def tokens(model: Model) -> Findings:
    """TOK-05: a vocabulary that is not the named base's."""
    named = _named(model)
    theirs = model.package.bases[named].vocabulary if named is not None else None
    own = vocabulary_of(model.find(TOKENIZER))
    if own and theirs and own.sha256 != theirs.sha256:
        what = (f"{own.tokens:,} tokens of {own.bytes_per_token:.2f} bytes in the mean, "
                f"{named} has {theirs.tokens:,} of {theirs.bytes_per_token:.2f}")  # fmt: skip
        yield finding("TOK-05", model.at(TOKENIZER), what)


def _named(model: Model) -> str | None:
    """The known model that the card names as its base, however it is capitalised."""
    base = (model.card.base or "").casefold()
    return next((name for name in model.package.bases if name.casefold() == base), None)


MODEL_CHECKS = (Check("CKP-02", descent), Check("TOK-01", tokens))
