"""Every finding code: how grave it is, when it is raised, and how to mend it. Codes are never used for anything else.

E refuses the submission, R leaves it to a reviewer, W tells the team, I is information.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


class Code(NamedTuple):
    """What a code stands for."""

    severity: Literal["E", "R", "W", "I"]
    condition: str
    mend: str


CODES = {
    "PKG-01": Code("E", "a submission is a folder or a readable zip", "pack it again: edgelm pack"),
    "PKG-02": Code("E", "no entry may be absolute, climb out, be a link or device, or come twice (case ignored)",
                   "pack from plain files: edgelm pack"),
    "PKG-03": Code("E", "entries, unpacked size and compression ratio have limits", "remove what is not asked for"),
    "PKG-04": Code("E", "the manifest, cards and reports are JSON with fields of the right kind",
                   "mend the field, or pack again: edgelm pack"),
    "PKG-05": Code("E", "every listed file is there with the listed size and sha256",
                   "run edgelm pack after the last change"),
    "PKG-06": Code("W", "a file that the manifest does not list is ignored", "list it (edgelm pack) or delete it"),
    "PKG-08": Code("W", "known files have one spelling", "rename it, then edgelm pack"),
    "PKG-09": Code("E", "a required file is not empty", "fill it, then edgelm pack"),
    "SUB-06": Code("E", "the manifest's rule-set digest is the one in force", "pack again with the rules in force"),
    "MDL-01": Code("E", "every slot of the track has a model or is declared omitted", "add it, or declare it omitted"),
    "MDL-02": Code("W", "an omitted model counts 0 in every task and in throughput", "add it if you can"),
    "MDL-03": Code("E", "only slots of the track are filled", "use the track's slots"),
    "MDL-04": Code("E", "a compressed model names its base and is not that base; other tracks take models from scratch",
                   "state base and derivation in the card"),
    "CKP-01": Code("E", "weights are safetensors files", "save the weights as safetensors"),
    "CKP-02": Code("E", "safetensors headers describe their files exactly", "copy the file again, or save it again"),
    "CKP-03": Code("E", "index and shards name the same tensors", "save the checkpoint again"),
    "CKP-04": Code("E", "config.json is valid and fits the tensors", "save the checkpoint again with its own config"),
    "CKP-05": Code("E", "no weight is NaN or infinite", "save again from a sound state"),
    "CKP-06": Code("W", "the card's parameter count is the header's", "write the counted number into the card"),
    "CKP-07": Code("W", "pickle-based files are never loaded", "delete it"),
    "CKP-10": Code("W", "a context shorter than the fixed workload leaves throughput missing", "give a longer context"),
    "TOK-02": Code("E", "no token id lies beyond the embedding's rows", "resize it, or mend the added tokens"),
    "TOK-03": Code("W", "prompting by chat needs a chat template", "add the template, or declare base in the card"),
    "TOK-04": Code("W", "begin, end and pad ids agree between the config files", "make them equal"),
    "TOK-06": Code("I", "a model from scratch has a tokenizer that was trained with it", "say where it comes from"),
    "DTY-01": Code("E", "no tensor is BF16", "cast to float16, or to float32 if values exceed 65 504"),
    "DTY-02": Code("E", "no tensor is of an integer, 8-bit or packed type",
                   "submit unquantised weights; a cast does not mend it"),
    "DTY-03": Code("E", "tensors are of a dtype that the rules allow", "cast to float32"),
    "DTY-04": Code("W", "the dtype named in config.json is that of the tensors", "write the tensors' dtype there"),
    "DTY-05": Code("I", "position ids and masks may be integers, up to 1 % of the bytes", "leave the buffers out"),
    "QNT-01": Code("E", "config.json has no quantization_config", "submit unquantised weights without the key"),
    "QNT-02": Code("E", "no tensor has a name of a quantised format", "submit unquantised weights"),
    "QNT-03": Code("E", "bundles are unquantised: q0f16 or q0f32 of MLC, F16 or F32 of GGUF",
                   "convert again, unquantised"),
    "MEM-01": Code("W", "the estimated peak (weights, cache, logits at the workload) is below the limit",
                   "a smaller model, or float16"),
    "CLM-01": Code("E", "there is a readable results file", "pack again: edgelm pack"),
    "CLM-05": Code("W", "every task has a column; without it the claim is empty, and measured by the organiser anyway",
                   "add the column; leave cells empty where nothing was tested"),
    "CLM-06": Code("W", "a claim of zeros alone is a template that nobody filled in", "fill it in, or delete the row"),
    "CLM-08": Code("E", "no figure is NaN, infinite, negative, or a percentage above 100", "correct the cell"),
    "CLM-10": Code("W", "results file and report.json agree up to rounding", "pack again: edgelm pack"),
    "RPT-01": Code("E", "report and bundle were made from this checkpoint", "run evaluate, measure or deploy again"),
    "RPT-02": Code("W", "every question of every task was answered", "edgelm evaluate goes on where it stopped"),
    "RPT-03": Code("W", "scores were made by the protocol of the rules", "evaluate again with this version's tasks"),
    "RPT-04": Code("R", "every sample has one answer, and the marks give the reported scores",
                   "evaluate again, and pack again"),
    "RPT-05": Code("I", "scores of tasks that the rules do not rank are read by people alone, and count nowhere",
                   "nothing: leave them, or pack without them"),
    "BND-01": Code("E", "the bundle is complete, or error.txt says why there is none",
                   "run edgelm deploy, then pack; or write proof/error.txt"),
    "BND-03": Code("W", "a screenshot or error.txt shows whether the app runs", "add one to proof/"),
    "SRC-01": Code("E", "source/ holds a README.md", "add the commands that rebuild the checkpoint"),
    "SRC-02": Code("W", "source/ pins its packages", "add a lock file, or the output of pip freeze"),
    "SRC-03": Code("E", "no file holds a secret key or token", "remove it, and revoke it: it must be taken as known"),
    "DAT-01": Code("E", "training data is on the allowed list", "train again on allowed data"),
    "DAT-02": Code("E", "the card declares its training data", "fill in data in the card"),
    "DAT-04": Code("R", "the bytes of the training data are pinned ones of the allowed sets",
                   "say where the named files come from, or train on the pinned ones"),
}  # fmt: skip
