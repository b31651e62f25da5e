"""Model checks: which slots are filled, and what their cards say the models come from."""

from __future__ import annotations

from edgelm.check.base import Check, Findings, finding, some, unknown_keys
from edgelm.check.look import Model, Package
from edgelm.checkpoint import CARD
from edgelm.submission import MANIFEST

# Keys of a card beside its fields: those that its form names, and what `train` and `compress` keep of a run.
CARD_KEYS = {
    "context_length", "dtype", "parameters", "code", "tokenizer", "data_allowed", "overlap", "quantized", "warnings",
    "versions", "threads", "options", "shape", "tensor_bytes", "calibration", "healing", "cast", "quality", "forecast",
    "memory", "search",
}  # fmt: skip


def slots(package: Package) -> Findings:
    """MDL-01, MDL-02, MDL-03: slots without a model, and models without a slot."""
    manifest, track = package.submission.manifest, package.track
    if track is None:
        return
    for slot in track.slots:
        if slot not in manifest.models:
            yield finding("MDL-01", MANIFEST, f"nothing is said about slot '{slot}'")
        elif slot in package.submission.omitted:
            yield finding("MDL-02", MANIFEST, f"'{slot}' is omitted: {package.submission.omitted[slot]}")
    for slot in manifest.models:
        if slot not in track.slots:
            yield finding("MDL-03", MANIFEST, f"'{slot}' is no slot of {track.name}", mend=f"use {some(track.slots)}")


def card(model: Model) -> Findings:
    """PKG-04 of the card, and MDL-04: where the model comes from must fit the track."""
    card, track = model.card, model.package.track
    yield from base(model)
    yield from unknown_keys(model.at(CARD), card, known=CARD_KEYS)
    if card.slot not in (None, model.slot):
        yield finding("PKG-04", model.at(CARD), f"the card is of slot '{card.slot}', the model in '{model.slot}'")
    if track is not None and track.derivation == "compressed" and card.derivation == "upstream":
        what = "the card says upstream: a base as it was published, not a compressed one"
        yield finding("MDL-04", model.at(CARD), what, severity="R")
    if track is not None and track.derivation == "from-scratch" and card.derivation != "from-scratch":
        yield finding("MDL-04", model.at(CARD), f"the card says {card.derivation}")


def base(model: Model) -> Findings:
    """MDL-04: the base that a compressed model's card names is one that its slot accepts, by digest where one is known.

    A name alone decides nothing: `compress` takes it from a folder, which may be called anything.
    """
    card, track = model.card, model.package.track
    if track is None or track.derivation != "compressed":
        return
    if not card.base:
        yield finding("MDL-04", model.at(CARD), "the card names no base")
        return
    accepted = model.package.rules.accepted(model.slot)
    digests = {one.digest for one in accepted if one.digest}
    if not accepted or digests & {*card.parents} or any(one.is_named(card.base) for one in accepted if not one.digest):
        return
    known = some([f"{one.name} {one.digest[:12]}".strip() for one in accepted])
    yield finding(
        "MDL-04", model.at(CARD), f"'{card.base}' is not among the bases of slot '{model.slot}'",
        severity="E" if all(one.digest for one in accepted) else "R", mend=f"compress one of {known}",
    )  # fmt: skip


CHECKS = (Check("PKG-04", slots),)
MODEL_CHECKS = (Check("PKG-04", card),)
