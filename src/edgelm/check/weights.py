"""Weight checks from headers and configuration: files, index, tensors, context."""

from __future__ import annotations

import json

from edgelm.check.base import Check, Findings, finding, some
from edgelm.check.look import Model, Package
from edgelm.check.pickles import PICKLED
from edgelm.checkpoint import CARD, INDEX, read_config
from edgelm.errors import BadFile, InputError, MissingInput, Unsupported
from edgelm.headers import BUFFERS, read_header
from edgelm.submission import SOURCE

PICKLES = (".bin", *PICKLED)  # the first is pickled where torch wrote it


def configuration(model: Model) -> Findings:
    """CKP-04: there is a configuration that says which class of model it is, one that is known here."""
    family = model.checkpoint.config.get("model_type")
    if not isinstance(family, str):
        yield finding("CKP-04", model.at("checkpoint/config.json"), f"model_type is {json.dumps(family)}")
        return
    try:
        _ = model.shape
    except Unsupported as error:
        what = f"{error.what}; nothing could be compared"
        yield finding("CKP-04", model.at("checkpoint/config.json"), what, mend=error.mend, severity="R")


def present(model: Model) -> Findings:
    """CKP-01, CKP-03: there are weights at all, and all that an index names; LNK-04: they lie elsewhere."""
    try:
        _ = model.checkpoint.weight_files
    except MissingInput as error:
        indexed = model.find(f"checkpoint/{INDEX}").is_file()
        away = any(name.startswith(model.at("checkpoint/")) for name in model.package.linked)
        code = "LNK-04" if away else "CKP-03" if indexed else "CKP-01"
        yield finding(code, model.at("checkpoint"), model.package.cause(error))


def headers(model: Model) -> Findings:
    """CKP-02: every weight file is sound, and no tensor is stored twice (raised by the last line)."""
    for path in sorted(model.find("checkpoint").glob("*.safetensors")):
        try:
            read_header(path)
        except BadFile as error:
            yield finding("CKP-02", model.package.relative(path), model.package.cause(error))
    if not model.checkpoint.tensors:
        yield finding("CKP-02", model.at("checkpoint"), "the weight files hold no tensor")


def index(model: Model) -> Findings:
    """CKP-03: the index names what the shards hold."""
    path = model.find(f"checkpoint/{INDEX}")
    if not path.is_file():
        return
    named = read_config(path)["weight_map"]
    stored = {name: tensor.file.name for name, tensor in model.checkpoint.tensors.items()}
    wrong = sorted(name for name in named.keys() | stored.keys() if named.get(name) != stored.get(name))
    if wrong:
        yield finding("CKP-03", model.package.relative(path), f"the shards hold other tensors: {some(wrong)}")


def shapes(model: Model) -> Findings:
    """CKP-04: the configuration is sound and describes the stored tensors; the first mismatch is shown."""
    stored = {name: tensor.shape for name, tensor in model.checkpoint.tensors.items() if not name.endswith(BUFFERS)}
    shape = model.shape
    where = model.at("checkpoint/config.json")
    if shape.layers > len(stored):  # such a claim is not written out tensor by tensor
        yield finding("CKP-04", where, f"{shape.layers:,} layers for {len(stored):,} tensors")
        return
    expected = shape.tensors
    if shape.tied:
        stored.pop("lm_head.weight", None)  # a copy of the embedding does no harm
    for name in [*expected, *stored]:
        if stored.get(name) != expected.get(name):
            found, wanted = stored.get(name, "absent"), expected.get(name, "no such tensor")
            yield finding("CKP-04", where, f"{name} is {found} in the weights, {wanted} by the configuration")
            return


def counted(model: Model) -> Findings:
    """CKP-06: the card's parameter count."""
    claimed, found = model.raw_card.get("parameters"), model.checkpoint.parameters
    if claimed is not None and claimed != found:
        yield finding("CKP-06", model.at(CARD), f"the card says {json.dumps(claimed)}, the headers {found:,}")


def pickles(package: Package) -> Findings:
    """CKP-07: pickle-based files; the shards of a bundle share an ending with them."""
    for name in package.files:
        if name.endswith(PICKLES) and "/bundle/" not in name:
            yield finding("CKP-07", name, "this is a pickle-based file")


def surplus(package: Package) -> Findings:
    """CKP-03: weights beside those that are loaded: own code could take them, and no other check looks at them.

    In the source, which no model is run from, they may be adapters that were merged.
    """
    slots = set(package.submission.slots)
    if not slots or package.track is None or not slots <= set(package.track.slots):
        return  # no model is brought, or one for no slot of the track, which is not looked at: MDL-03
    loaded: set[str] = set()
    for model in package.models:
        try:
            loaded.update(map(package.relative, model.checkpoint.weight_files))
        except InputError:  # which weights are loaded is not known, as `present` says
            loaded.update(name for name in package.files if name.startswith(model.at("checkpoint/")))
    for name in package.files:
        if name.casefold().endswith(".safetensors") and name not in loaded and not name.startswith(f"{SOURCE}/"):
            yield finding("CKP-03", name, "these are no weights that are loaded", mend="delete it")


def context(model: Model) -> Findings:
    """CKP-10: room for the fixed workload."""
    needed = model.rules.prompt_tokens + model.rules.generated_tokens
    if model.shape.context < needed:
        where = model.at("checkpoint/config.json")
        yield finding("CKP-10", where, f"{model.shape.context:,} positions, the workload needs {needed:,}")


CHECKS = (Check("CKP-07", pickles), Check("CKP-03", surplus))
MODEL_CHECKS = (
    Check("CKP-04", configuration),
    Check("CKP-03", present),
    Check("CKP-02", headers),
    Check("CKP-03", index),
    Check("CKP-04", shapes),
    Check("CKP-06", counted),
    Check("CKP-04", context),
)
