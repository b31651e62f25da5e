"""The two files by which OpenCompass 0.3.1 runs a checkpoint: its model as a class, and the seven tasks on it.

A checkpoint that stock classes of transformers load needs no class of its own: OpenCompass's own for chat and for base
models are used, and the generated class adds a check that the files are the submitted ones.
`benchmarks/opencompass_files.py` runs them in a real OpenCompass.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

from edgelm import __version__
from edgelm.chat import Prompting
from edgelm.checkpoint import Checkpoint, digest_of
from edgelm.files import write_bytes
from edgelm.folders import new_folder

MODEL, CONFIGURATION = "Model_Opencompass.py", "Configuration_Opencompass.py"  # the starting kit's names
_STOCK: dict[Prompting, str] = {"chat": "HuggingFacewithChatTemplate", "base": "HuggingFaceBaseModel"}
# Why code is trusted, in the configuration: OpenCompass trusts it, unless told otherwise.
_OWN = "True: the checkpoint names code of its own (auto_map), which runs with all your rights."
_NONE = "False, where OpenCompass would trust any code: this checkpoint needs none beside transformers."


def write_opencompass(checkpoint: Checkpoint, out: Path, path: str, prompting: Prompting | None = None) -> None:
    """Write both files into a new folder.

    Args:
        checkpoint: what is run.
        out: the folder; it must not be there yet.
        path: where OpenCompass will find the checkpoint: a folder, or a name on the Hugging Face hub.
        prompting: how to ask; as the checkpoint's card or tokenizer says if not given.

    Raises:
        BadOption: `out` exists.
    """
    name = checkpoint.path.resolve().name
    made = opencompass_files(checkpoint, checkpoint.file_digests(), name, path, prompting)
    with new_folder(out) as folder:
        for file, data in made.items():
            write_bytes(folder / file, data)


def opencompass_files(
    checkpoint: Checkpoint, digests: Mapping[str, str], name: str, path: str, prompting: Prompting | None = None
) -> dict[str, bytes]:
    """Both files by their names.

    Args:
        checkpoint: what is run; its weights are not read.
        digests: the sha256 of its files by name.
        name: what OpenCompass calls it in its tables.
        path: where OpenCompass will find it, as seen from the folder of these files.
        prompting: how to ask; as the checkpoint's card or tokenizer says if not given.
    """
    lines = [f"    {json.dumps(file)}: {json.dumps(digest)}," for file, digest in digests.items()]
    own = bool(checkpoint.own_code)
    model = {
        "digest": digest_of(digests), "made_by": f"edgelm {__version__}", "files": "\n".join(lines),
        "stock": _STOCK[prompting or checkpoint.prompting],
        "classes": "classes of its own, from the checkpoint's files" if own else "stock classes of transformers",
    }  # fmt: skip
    configuration = {
        "abbr": json.dumps(f"{name}_hf"), "path": json.dumps(path),
        "trust": str(own), "code": _OWN if own else _NONE,
    }  # fmt: skip
    return {MODEL: _filled("opencompass_model", model), CONFIGURATION: _filled("opencompass_config", configuration)}


def _filled(name: str, values: dict[str, str]) -> bytes:
    text = (files("edgelm.bridges") / f"{name}.py.template").read_text(encoding="utf-8")
    return Template(text).substitute(values).encode()
