"""What narrowing the residual stream makes of a `config.json`, and which widths are refused; no torch is imported.

Letters: D model width, H query heads, K head size, V vocabulary; a prime is the value afterwards.
"""

from __future__ import annotations

from typing import Literal

from edgelm.compress.base import Config
from edgelm.compress.maths.attention import require_free_heads
from edgelm.compress.maths.residual import residual_of
from edgelm.errors import BadOption
from edgelm.shapes import Shape, shape_of

BasisName = Literal["pca", "channels"]

_ALIGN, _ALIGN_PHI, _ALIGN_SMALL, _SMALL = 128, 16, 4, 512  # multiples wanted of D′; the third where D is below _SMALL
# llama.cpp and MLC take these families' query and output matrices for D × D whatever the head size says.
_SQUARE = ("qwen2", "phi")


def planned(
    config: Config, hidden: int, *, basis: BasisName | None = None, untie: bool = False, heads: int | None = None
) -> Config:
    """The configuration with the model width `hidden`.

    Args:
        config: before.
        hidden: D′.
        basis: what the kept coordinates are; see `basis_for`.
        untie: give a tied model a head of its own.
        heads: query heads that the model will have; those it has, if None.

    Raises:
        BadOption: no width that this model can have, that kernels want, or that anything can run; or a basis that
            this model cannot be turned to.
        Unsupported: see `require_free_heads`.
    """
    require_free_heads(config, "the width")
    shape = shape_of(config)
    _check_aligned(shape, hidden)
    if hidden != shape.width:
        check_square(shape, hidden, heads or shape.heads)
    _check_basis(config, hidden, basis_for(config, basis, untie=untie), untie=untie)
    return narrowed(config, hidden, untie=untie)


def narrowed(config: Config, hidden: int, *, untie: bool) -> Config:
    """The configuration of that width, unchecked.

    Heads keep their size, which no longer follows from the width. The norms' ε grows as the mean square does when as
    much lies in fewer coordinates, ε′ = ε·D/D′: so the norms' outputs keep their proportions for small x too.
    """
    shape, residual = shape_of(config), residual_of(config)
    changed = {
        **config,
        "hidden_size": hidden,
        "head_dim": shape.head_size,
        residual.epsilon[0]: residual.norm(config).epsilon * (shape.width / hidden),
    }
    return changed | {"tie_word_embeddings": False} if untie else changed


def basis_for(config: Config, basis: BasisName | None, *, untie: bool) -> BasisName:
    """`basis`, or if None what the model allows: channels where it has LayerNorms or stays tied, else pca."""
    if basis is not None:
        return basis
    stays_tied = shape_of(config).tied and not untie
    return "channels" if stays_tied or residual_of(config).centred else "pca"


def check_square(shape: Shape, hidden: int, heads: int) -> None:
    """Refuse a width that is not heads · head size where every runtime but transformers would, or what that refuses.

    Raises:
        BadOption: names the number of heads that fits, or the nearest widths that have one.
    """
    if shape.family == "llama" and hidden % heads:
        raise BadOption(f"llama: {heads} heads do not divide the width {hidden}",
                        why="transformers loads no such Llama, whatever its head size",
                        mend=f"give a width that {heads} divides, or heads that divide {hidden}")  # fmt: skip
    if shape.family not in _SQUARE or heads * shape.head_size == hidden:
        return
    size = shape.head_size
    refused = f"because {heads}·{size} ≠ {hidden} is refused by llama.cpp and MLC"
    if hidden % size == 0:
        raise BadOption(f"{shape.family}: hidden={hidden} needs heads={hidden // size}, {refused}",
                        mend=f"width:hidden={hidden},heads={hidden // size}")  # fmt: skip
    raise BadOption(f"{shape.family}: hidden={hidden} fits no number of heads, {refused}",
                    mend=f"give a multiple of the head size {size}, and as many heads")  # fmt: skip


def _check_aligned(shape: Shape, hidden: int) -> None:
    align = _ALIGN_SMALL if shape.width < _SMALL else _ALIGN_PHI if shape.family == "phi" else _ALIGN
    if not 0 < hidden <= shape.width:
        raise BadOption(f"width:hidden={hidden} does not fit a model width of {shape.width}",
                        mend=f"give a multiple of {align} below {shape.width}")  # fmt: skip
    if hidden % align and hidden != shape.width:
        below = hidden // align * align
        near = [str(width) for width in (below, below + align) if 0 < width <= shape.width]
        raise BadOption(f"width:hidden={hidden} is no multiple of {align}", why="other widths run slower",
                        mend=f"the nearest: {' or '.join(near) or shape.width}")  # fmt: skip


def _check_basis(config: Config, hidden: int, basis: BasisName, *, untie: bool) -> None:
    shape = shape_of(config)
    if basis != "pca":
        return
    if residual_of(config).centred:
        raise BadOption(f"width:basis=pca cannot turn a {shape.family}",
                        why="its LayerNorms take the mean over channels, which a rotation does not keep",
                        mend="basis=channels")  # fmt: skip
    if shape.tied and not untie:
        raise BadOption("width:basis=pca cannot turn a model whose head is its embedding",
                        why="the head takes up the final norm's weights, the embedding must not",
                        mend=f"basis=channels, or untie=1 for {shape.vocab * hidden:,} parameters more")  # fmt: skip
