"""One GGUF file for any llama.cpp: weights as F16 or F32, tokenizer and chat template inside.

The file is written as a stream: a few rows at a time, so that memory does not grow with the model. Names and keys come
from the `gguf` package's tables, the conventions behind them from llama.cpp.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

try:
    import gguf
except ImportError:
    from edgelm.errors import MissingPackage

    raise MissingPackage("gguf", "deploy") from None

from edgelm.bundle import MODEL
from edgelm.checkpoint import Checkpoint
from edgelm.deploy.base import Progress
from edgelm.deploy.gguf_metadata import family_of, write_metadata
from edgelm.deploy.gguf_tensors import NUMPY_DTYPES, Export, plan
from edgelm.deploy.gguf_vocab import read_vocabulary

# In a model of such a name llama.cpp looks for that model's special tokens, and ends where they are missing.
_OTHERS = ("phi-3", "phi3", "modern-bert")
_FILE_TYPES = {"F16": gguf.LlamaFileType.MOSTLY_F16, "F32": gguf.LlamaFileType.ALL_F32}


@dataclass(frozen=True)
class GGUF:
    """The target `gguf`."""

    dtype: Literal["F16", "F32"] = "F16"  # of matrices; vectors are always F32
    pre: str = ""  # llama.cpp's name of the pre-tokenizer; empty: found from tokenizer.json

    @property
    def tools(self) -> dict[str, str]:
        """The version of the `gguf` package."""
        return {"gguf": version("gguf")}

    def build(self, checkpoint: Checkpoint, out: Path, progress: Progress) -> None:
        """Write `model.gguf` into the folder `out`.

        Raises:
            Unsupported: llama.cpp does not run this model or tokenizer, or a value does not fit the dtype.
            MissingInput: a tensor or the tokenizer is missing.
            BadFile: weights, configuration and tokenizer do not agree.
        """
        shape = checkpoint.shape
        family = family_of(checkpoint.config, shape)
        exports = plan(checkpoint, family, self.dtype)
        vocabulary = read_vocabulary(checkpoint, self.pre)
        arch = gguf.MODEL_ARCH_NAMES[family.arch]
        with contextlib.closing(gguf.GGUFWriter(out / MODEL, arch)) as writer:
            name = checkpoint.card.slot or checkpoint.card.base or checkpoint.path.resolve().name
            if not any(other in name.lower() for other in _OTHERS):
                writer.add_name(name)
            if checkpoint.card.licence:
                writer.add_license(checkpoint.card.licence)
            writer.add_file_type(_FILE_TYPES[self.dtype])
            writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
            write_metadata(writer, checkpoint.config, shape, family)
            vocabulary.write(writer)
            _write_tensors(writer, exports, progress)


def _write_tensors(writer: gguf.GGUFWriter, exports: list[Export], progress: Progress) -> None:
    """Write header and tensors. The writer itself would take each tensor whole: 1 GB for an 8B model's embedding."""
    for export in exports:
        writer.add_tensor_info(export.name, export.shape, NUMPY_DTYPES[export.dtype], export.bytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    (file,) = writer.fout
    writer.write_padding(file, file.tell())
    total, done = sum(export.bytes for export in exports), 0
    for export in exports:
        for values in export.chunks():
            file.write(values.data)
            done += values.nbytes
            progress("write", done, total)
        writer.write_padding(file, export.bytes)
    file.flush()
    os.fsync(file.fileno())
