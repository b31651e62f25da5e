"""A model in the making: the base's tensors, and over them what steps have changed, each read when it is needed.

What a step changes it writes into a folder of its own, layer by layer; what it leaves alone is never copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Config, Tokens
from edgelm.compress.config import keep_layers
from edgelm.compress.stream.layer import FINAL_NORM, Layer, Passage, enter, normed
from edgelm.compress.stream.pieces import Piece, pieces_of
from edgelm.headers import BUFFERS
from edgelm.shapes import shape_of
from edgelm.stock import save_tensors

EMBEDDING, HEAD, HEAD_BIAS = "model.embed_tokens.weight", "lm_head.weight", "lm_head.bias"
_LAYERS = "model.layers."


class Model:
    """The model as it is now.

    Args:
        config: what `config.json` says of it.
        pieces: its tensors by name.
        dtype: what its layers compute in.

    Attributes:
        pieces: where each tensor lies, by name.
        folder: where changed tensors are written; a step that changes weights needs one.
        files: tokenizer files that take the place of the base's, by name.
        kept: for each layer, which of the base's it was.
        idmap: for each token the base's id of it, where tokens were left out.
        documents: text to count tokens in.
        base: the model that everything began with, to learn from.
        healing: gives sequences of at least so many tokens, none of them of the calibration text, to learn from.
    """

    def __init__(self, config: Config, pieces: Mapping[str, Piece], dtype: torch.dtype = torch.float32) -> None:
        self.config, self.dtype = config, dtype
        self.pieces: dict[str, Piece] = dict(pieces)
        self.folder: Path | None = None
        self.files: dict[str, bytes] = {}
        self.kept = list(range(self.layers))
        self.idmap: list[int] | None = None
        self.documents: Iterable[str] = ()
        self.base: Model | None = None
        self.healing: Callable[[int], Sequence[Tokens]] | None = None

    @classmethod
    def of(cls, base: Checkpoint, dtype: torch.dtype = torch.float32) -> Model:
        """A checkpoint's model; no weight is read.

        Raises:
            BadFile, MissingInput: its files are damaged or absent.
        """
        spare = {HEAD} if base.shape.tied else set()
        pieces = {name: Piece(stored) for name, stored in base.tensors.items()
                  if name not in spare and not name.endswith(BUFFERS)}  # fmt: skip
        return cls(base.config, pieces, dtype)

    # Reading

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return int(self.config["num_hidden_layers"])

    @property
    def names(self) -> list[str]:
        """The names of all tensors, in the order of the stock class."""
        return list(shape_of(self.config).tensors)

    def piece(self, name: str) -> Piece:
        """Where a tensor lies."""
        return self.pieces[name]

    def outer(self, name: str) -> Tensor:
        """A tensor by its full name, as stored."""
        return self.pieces[name].read()

    def layer_tensors(self, number: int) -> dict[str, Tensor]:
        """The tensors of a layer by their names below it, in the dtype to compute in."""
        prefix = f"{_LAYERS}{number}."
        return {name.removeprefix(prefix): piece.read().to(self.dtype) for name, piece in self.pieces.items()
                if name.startswith(prefix)}  # fmt: skip

    def layer(self, number: int) -> Layer:
        """A layer, ready to run."""
        return Layer(self.config, number, self.layer_tensors(number))

    def embedded(self, tokens: Tokens) -> Tensor:
        """The embedding of each token (T × D)."""
        ids, places = np.unique(np.asarray(tokens, np.int64), return_inverse=True)
        return self.pieces[EMBEDDING].take(ids).read().to(self.dtype)[torch.from_numpy(places)]

    def enter(self, tokens: Tokens) -> Passage:
        """A sequence before the first layer."""
        return enter(self.config, self.embedded(tokens))

    def final_states(self, batches: Sequence[Tokens], progress: Callable[[int, int], object]) -> list[Tensor]:
        """The normalised states of sequences that the head reads, each (T × D); all layers are run once.

        `progress` is told how many of how many layers are behind.
        """
        passages = [self.enter(tokens) for tokens in batches]
        for number in range(self.layers):
            progress(number, self.layers)
            layer = self.layer(number)
            passages = [layer.run(passage) for passage in passages]
        return [self.normed(passage.x_TD) for passage in passages]

    def normed(self, x_TD: Tensor) -> Tensor:
        """What the head reads of the stream behind the last layer."""
        prefix = f"model.{FINAL_NORM.get(self.config['model_type'], 'norm')}."
        tensors = {name.removeprefix(prefix): piece.read().to(self.dtype) for name, piece in self.pieces.items()
                   if name.startswith(prefix)}  # fmt: skip
        return normed(self.config, x_TD, tensors)

    def head(self) -> tuple[Tensor, Tensor | None]:
        """The matrix that makes logits (V × D), as stored, and its bias if it has one."""
        name = EMBEDDING if shape_of(self.config).tied else HEAD
        return self.outer(name), self.outer(HEAD_BIAS) if HEAD_BIAS in self.pieces else None

    # Changing

    def keep_layers(self, kept: Sequence[int]) -> None:
        """Leave out all other layers and renumber these; their tensors keep their bytes."""
        outer = {name: piece for name, piece in self.pieces.items() if not name.startswith(_LAYERS)}
        inside: dict[str, Piece] = {}
        for number, old in enumerate(kept):
            prefix = f"{_LAYERS}{old}."
            for name, piece in self.pieces.items():
                if name.startswith(prefix):
                    inside[f"{_LAYERS}{number}.{name.removeprefix(prefix)}"] = piece
        self.pieces = outer | inside
        self.kept = [self.kept[old] for old in kept]
        self.config = keep_layers(self.config, kept)

    def keep_rows(self, ids: Sequence[int]) -> None:
        """Let embedding and head keep these tokens, in this order."""
        rows = np.asarray(ids, np.int64)
        for name in (EMBEDDING, HEAD, HEAD_BIAS):
            if name in self.pieces:
                self.pieces[name] = self.pieces[name].take(rows)
        self.config = {**self.config, "vocab_size": len(rows)}

    def put_layer(self, number: int, tensors: Mapping[str, Tensor]) -> None:
        """Let these tensors take the place of a layer's, by their names below it."""
        self._put(f"layer-{number:05}", {f"{_LAYERS}{number}.{name}": tensor for name, tensor in tensors.items()})

    def put_outer(self, name: str, tensor: Tensor) -> None:
        """Let a tensor take the place of another that belongs to no layer, or be new."""
        self._put(name, {name: tensor})

    def adopt(self, path: Path) -> None:
        """Take the tensors of a file that was written before."""
        self.pieces |= pieces_of(path)

    def _put(self, file: str, tensors: Mapping[str, Tensor]) -> None:
        assert self.folder is not None
        path = self.folder / f"{file}.safetensors"
        save_tensors(path, {name: tensor.contiguous() for name, tensor in tensors.items()})
        self.adopt(path)
