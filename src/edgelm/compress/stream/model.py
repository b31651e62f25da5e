"""A model in the making: the base's tensors, and over them what steps have changed, each read when it is needed.

What a step changes it writes into a folder of its own, layer by layer; what it leaves alone is never copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Config, Tokens
from edgelm.compress.config import keep_layers
from edgelm.compress.costs.bounds import TOGETHER
from edgelm.compress.stream.device import fast_products, home
from edgelm.compress.stream.imported import imported
from edgelm.compress.stream.layer import Layer, Passage, enter, normed, turned
from edgelm.compress.stream.names import HEAD, HEAD_BIAS, Names, names_of
from edgelm.compress.stream.pieces import Piece, pieces_of
from edgelm.compress.stream.sound import sound
from edgelm.headers import BUFFERS
from edgelm.shapes import shape_of
from edgelm.stock import save_tensors

CPU = torch.device("cpu")


class Model:
    """The model as it is now.

    Args:
        config: what `config.json` says of it.
        pieces: its tensors by name.
        dtype: what its layers compute in.
        device: where they do.

    Attributes:
        pieces: where each tensor lies, by name.
        folder: where changed tensors are written; a step that changes weights needs one.
        files: tokenizer files that take the place of the base's, by name.
        kept: for each layer, which of the base's it was.
        bases: files of what its stream was narrowed to, in that order; see `maths/hidden_saved.py`.
        idmap: for each token the base's id of it, where tokens were left out.
        documents: text to count tokens in.
        base: the model that everything began with, to learn from.
        healing: gives sequences of at least so many tokens, none of them of the calibration text, to learn from.
    """

    def __init__(
        self, config: Config, pieces: Mapping[str, Piece], dtype: torch.dtype = torch.float32,
        device: torch.device = CPU,
    ) -> None:  # fmt: skip
        self.config, self.dtype, self.device = config, dtype, device
        self.pieces: dict[str, Piece] = dict(pieces)
        self.folder: Path | None = None
        self.files: dict[str, bytes] = {}
        self.kept = list(range(self.layers))
        self.bases: list[Path] = []
        self.idmap: list[int] | None = None
        self.documents: Iterable[str] = ()
        self.base: Model | None = None
        self.healing: Callable[[int], Sequence[Tokens]] | None = None

    @classmethod
    def of(cls, base: Checkpoint, dtype: torch.dtype = torch.float32, device: torch.device = CPU) -> Model:
        """A checkpoint's model; no weight is read.

        Raises:
            BadFile, MissingInput, Unsupported: its files are damaged, absent, or of a class that is not known.
        """
        base = imported(base)
        spare = {HEAD} if base.shape.tied else set()
        pieces = {name: Piece(stored) for name, stored in base.tensors.items()
                  if name not in spare and not name.endswith(BUFFERS)}  # fmt: skip
        return cls(base.config, pieces, dtype, device)

    # Reading

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return int(self.config["num_hidden_layers"])

    @property
    def called(self) -> Names:
        """How its family names things."""
        return names_of(self.config)

    @property
    def embedding(self) -> str:
        """The name of the tensor that tokens are looked up in."""
        return self.called.embedding

    @property
    def names(self) -> list[str]:
        """The names of all tensors, in the order of the stock class."""
        return list(shape_of(self.config).tensors)

    def piece(self, name: str) -> Piece:
        """Where a tensor lies."""
        return self.pieces[name]

    def outer(self, name: str) -> Tensor:
        """A tensor by its full name, as stored.

        Raises:
            BadFile: it holds infinities or NaN, as for all that reads tensors.
        """
        return sound(self.pieces[name].read(), name)

    def layer_tensors(self, number: int) -> dict[str, Tensor]:
        """The tensors of a layer by their names below it, in the dtype and on the device to compute in.

        Matrices are (out, in), whatever way the class keeps them.
        """
        return turned(self.config, self._below(self.called.layer(number)))

    def _below(self, prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): self._loaded(name) for name in self.pieces
                if name.startswith(prefix)}  # fmt: skip

    def _loaded(self, name: str) -> Tensor:
        stored = self.pieces[name].read().to(self.device)  # as it is, which is smaller
        return sound(stored, name).to(self.dtype)

    def layer(self, number: int) -> Layer:
        """A layer, ready to run."""
        return Layer(self.config, number, self.layer_tensors(number))

    def embedded(self, batches: Sequence[Tokens]) -> Iterator[Tensor]:
        """The embeddings of the tokens of each sequence (T × D); every row of the table is read once."""
        ids = np.unique(np.concatenate([np.asarray(tokens, np.int64) for tokens in batches]))
        rows = sound(self.pieces[self.embedding].take(ids).read(), self.embedding)
        for tokens in batches:
            yield rows[torch.from_numpy(np.searchsorted(ids, tokens))].to(self.dtype)

    def enter(self, tokens: Tokens) -> Passage:
        """A sequence before the first layer."""
        (passage,) = self.enter_all([tokens])
        return passage

    def enter_all(self, batches: Sequence[Tokens]) -> list[Passage]:
        """Sequences before the first layer: on a GPU, which many tokens keep busy, several of them together."""
        places = f"{self.called.places}.weight"
        stored = self.pieces.get(f"{self.called.inner}.{places}")
        longest = np.arange(max(map(len, batches)))
        learned = {} if stored is None else {places: stored.take(longest).read().to(self.dtype)}
        embedded, passages = self.embedded(batches), []
        for group in groups(batches, self.together):
            x_TD = torch.cat([next(embedded) for _ in group])
            passages.append(enter(self.config, x_TD, [len(batches[place]) for place in group], learned))
        return passages

    @property
    def together(self) -> int:
        """Tokens of several sequences that may pass a layer at once; 0: each sequence passes alone."""
        return TOGETHER if self.device.type == "cuda" else 0

    def final_states(self, batches: Sequence[Tokens], progress: Callable[[int, int], object]) -> list[Tensor]:
        """The normalised states of sequences that the head reads, each (T × D), in the host's memory; all layers run.

        `progress` is told how many of how many layers are behind.
        """
        passages = self.enter_all(batches)
        for number in range(self.layers):
            progress(number, self.layers)
            layer = self.layer(number)
            with fast_products(self.device):
                for place, passage in enumerate(passages):
                    passages[place] = layer.run(passage)
        norm = self.norm()
        return [part for passage in passages for part in norm(passage.x_TD).split(passage.lengths)]

    def norm(self) -> Callable[[Tensor], Tensor]:
        """What makes of the stream behind the last layer the states that the head reads, in the host's memory."""
        tensors = self._below(f"{self.called.inner}.{self.called.final}.")
        return lambda x_TD: home(normed(self.config, x_TD.to(self.device), tensors))

    def head(self) -> tuple[Tensor, Tensor | None]:
        """The matrix that makes logits (V × D), as stored, and its bias if it has one, on the device to compute on."""
        name = self.embedding if shape_of(self.config).tied else HEAD
        bias_V = self.outer(HEAD_BIAS).to(self.device) if HEAD_BIAS in self.pieces else None
        return self.outer(name).to(self.device), bias_V

    # Changing

    def keep_layers(self, kept: Sequence[int]) -> None:
        """Leave out all other layers and renumber these; their tensors keep their bytes."""
        called = self.called
        outer = {name: piece for name, piece in self.pieces.items() if not name.startswith(called.layers)}
        inside: dict[str, Piece] = {}
        for number, old in enumerate(kept):
            prefix = called.layer(old)
            for name, piece in self.pieces.items():
                if name.startswith(prefix):
                    inside[called.layer(number) + name.removeprefix(prefix)] = piece
        self.pieces = outer | inside
        self.kept = [self.kept[old] for old in kept]
        self.config = keep_layers(self.config, kept)

    def keep_rows(self, ids: Sequence[int]) -> None:
        """Let embedding and head keep these tokens, in this order."""
        rows = np.asarray(ids, np.int64)
        for name in (self.embedding, HEAD, HEAD_BIAS):
            if name in self.pieces:
                self.pieces[name] = self.pieces[name].take(rows)
        self.config = {**self.config, "vocab_size": len(rows)}

    def put_layer(self, number: int, tensors: Mapping[str, Tensor]) -> None:
        """Let these tensors take the place of a layer's, by their names below it; matrices are (out, in)."""
        prefix = self.called.layer(number)
        made = {prefix + name: tensor for name, tensor in turned(self.config, tensors).items()}
        self._put(f"layer-{number:05}", made)

    def put_outer(self, name: str, tensor: Tensor) -> None:
        """Let a tensor take the place of another that belongs to no layer, or be new."""
        self._put(name, {name: tensor})

    def adopt(self, path: Path) -> None:
        """Take the tensors of a file that was written before."""
        self.pieces |= pieces_of(path)

    def _put(self, file: str, tensors: Mapping[str, Tensor]) -> None:
        assert self.folder is not None
        path = self.folder / f"{file}.safetensors"
        save_tensors(path, {name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
        self.adopt(path)


def groups(text: Sequence[Tokens], most: int) -> Iterator[list[int]]:
    """The places of the sequences, as many together as have `most` tokens, at least one."""
    group: list[int] = []
    held = 0
    for place, tokens in enumerate(text):
        if group and held + len(tokens) > most:
            yield group
            group, held = [], 0
        group.append(place)
        held += len(tokens)
    yield group
