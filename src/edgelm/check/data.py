"""Data checks: what the card says that a model was trained on."""

from __future__ import annotations

from edgelm.check.base import Check, Findings, finding, some
from edgelm.check.look import Model
from edgelm.checkpoint import CARD


def allowed(model: Model) -> Findings:
    """DAT-01: every source is on the list."""
    for name in dict.fromkeys(source.name for source in model.card.data):
        if name.casefold() not in model.rules.training_data:
            what = f"'{name}' is none of {some(model.rules.training_data)}"
            yield finding("DAT-01", model.at(CARD), what)


def declared(model: Model) -> Findings:
    """DAT-02: a model from scratch names its data; a compressed one may say that it used none (an empty list)."""
    if "data" not in model.raw_card or (model.card.derivation == "from-scratch" and not model.card.data):
        yield finding("DAT-02", model.at(CARD), "the card declares no training data")


def pinned(model: Model) -> Findings:
    """DAT-04: what the training itself found about the bytes that it read."""
    if model.raw_card.get("data_allowed") is False:
        unknown = [source.name for source in model.card.data if not (source.model_extra or {}).get("known")]
        yield finding("DAT-04", model.at(CARD), f"nobody has pinned the bytes of: {some(dict.fromkeys(unknown))}")


MODEL_CHECKS = (Check("PKG-04", allowed), Check("PKG-04", declared), Check("PKG-04", pinned))
