"""What a recipe will make of a checkpoint, from its headers and `config.json` alone: no torch, no weights read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import FAMILIES, Config, Step
from edgelm.compress.cast import Cast
from edgelm.compress.config import stored_as
from edgelm.compress.repair import Repair
from edgelm.compress.stream.imported import imported
from edgelm.compress.stream.names import HEAD
from edgelm.errors import BadOption, Unsupported
from edgelm.headers import BUFFERS, DTYPE_BYTES, TORCH_NAMES, Tensor
from edgelm.plugins import spec_of
from edgelm.shapes import Shape, shape_of

Dtype = Literal["float16", "float32", "keep"]
_DENSE = ("F16", "F32", "BF16")  # what can be cut, as safetensors names it
_BYTES = {TORCH_NAMES[name]: DTYPE_BYTES[name] for name in _DENSE}


@dataclass(frozen=True)
class Row:
    """The model before the recipe (`step` is "base") or after one of its steps."""

    step: str
    config: Config
    bytes: int  # of all tensors that count

    @property
    def shape(self) -> Shape:
        """All dimensions."""
        return shape_of(self.config)

    @property
    def parameters(self) -> int:
        """Number of parameters; tied tensors count once."""
        return self.shape.parameters


def plan(base: Checkpoint, steps: Sequence[Step], dtype: Dtype | None = None) -> list[Row]:
    """The base and what it becomes after each step that changes something, to be stored as `agreed_dtype` says.

    Raises:
        Unsupported: the checkpoint is none that can be cut.
        BadOption: a step's option does not fit the model as it is by then.
    """
    base = imported(base)
    require_dense(base)
    width = _BYTES[stored_dtype(base, agreed_dtype(base, steps, dtype))]
    counted = _counted(base).values() if base.has_weights else ()
    size = sum(tensor.bytes for tensor in counted) or width * base.shape.parameters
    rows = [Row("base", base.config, size)]
    for step, config in taken(base, steps):
        rows.append(Row(spec_of(step), config, width * shape_of(config).parameters))
    return rows


def taken(base: Checkpoint, steps: Sequence[Step]) -> Iterator[tuple[Step, Config]]:
    """The steps that change something, each with the configuration it leaves.

    In which dtype the weights are is known of the base and behind a cast alone: other steps may leave some as they
    compute them.
    """
    config = base.config
    if base.has_weights:  # what is there counts, not what config.json says of it
        dtypes = _dtypes(base)
        config = stored_as(config, TORCH_NAMES.get(dtypes[0]) if len(dtypes) == 1 else None)
    for step in steps:
        if not step.idle(config):
            if isinstance(step, Repair):
                _require_one_stream(base.config, config)
            config = step.plan(config)
            config = config if isinstance(step, Cast) else stored_as(config, None)
            yield step, config


def _require_one_stream(base: Config, config: Config) -> None:
    before, after = shape_of(base).width, shape_of(config).width
    if before != after:
        raise Unsupported(f"repair cannot compare a stream of {after:,} with the base's of {before:,}",
                          mend="leave repair out, and let width:hidden fit what reads the stream: refit=1")  # fmt: skip


def agreed_dtype(base: Checkpoint, steps: Sequence[Step], dtype: Dtype | None) -> Dtype:
    """What the result is stored in: what is asked for, else what the last `cast` says, else float16.

    Raises:
        BadOption: one is asked for, and the step says another.
        Unsupported: see `stored_dtype`.
    """
    said = [step.dtype for step in steps if isinstance(step, Cast)]
    if dtype is None:
        return said[-1] if said else "float16"
    if said and stored_dtype(base, dtype) != said[-1]:
        raise BadOption(f"--dtype {dtype} contradicts cast:dtype={said[-1]}", mend="leave one of the two out")
    return dtype


def stored_dtype(base: Checkpoint, dtype: Dtype) -> str:
    """The torch name of the dtype that the result is stored in.

    Raises:
        Unsupported: it shall be kept, but the base has several; or see `require_dense`.
    """
    if dtype != "keep":
        return dtype
    if not base.has_weights:
        return str(base.config.get("dtype") or base.config.get("torch_dtype") or "float32")
    require_dense(base)
    dtypes = _dtypes(base)
    if len(dtypes) > 1:
        raise Unsupported(
            f"there is no one dtype to keep: {base.path} stores {', '.join(dtypes)}",
            mend="name the result's: --dtype float16",
        )
    return TORCH_NAMES[dtypes[0]]


def require_dense(base: Checkpoint) -> None:
    """Refuse a checkpoint that is no plain dense model of a known family, with the reason.

    Raises:
        Unsupported: unknown `model_type`, quantised, or tensors that are not those of the stock class.
    """
    family = base.config.get("model_type")
    if family not in FAMILIES:
        raise Unsupported(f"model_type '{family}' cannot be compressed", mend=f"known: {', '.join(FAMILIES)}, qwen")
    if base.config.get("quantization_config"):
        raise Unsupported(f"{base.path} is quantised", why="only dense weights can be cut", mend="give the fp16 model")
    if not base.has_weights:
        return
    # A tied head's copy is looked at too: it will be compared with the embedding.
    foreign = sorted({tensor.dtype for name, tensor in base.tensors.items() if not name.endswith(BUFFERS)} - {*_DENSE})
    if foreign:
        raise Unsupported(f"{base.path} stores {', '.join(foreign)}", why="only dense weights can be cut",
                          mend=f"give a model in one of {', '.join(_DENSE)}")  # fmt: skip
    _require_stock_tensors(base)


def _counted(base: Checkpoint) -> dict[str, Tensor]:
    """The stored tensors that the model is made of: no buffers of old versions, no copy of a tied head."""
    spare = {HEAD} if base.shape.tied else set()
    return {name: tensor for name, tensor in base.tensors.items() if name not in spare and not name.endswith(BUFFERS)}


def _dtypes(base: Checkpoint) -> list[str]:
    """What those are stored in, most first."""
    counts: Counter[str] = Counter()
    for tensor in _counted(base).values():
        counts[tensor.dtype] += tensor.size
    return [dtype for dtype, _ in counts.most_common()]


def _require_stock_tensors(base: Checkpoint) -> None:
    expected = base.shape.tensors
    stored = {name: tensor.shape for name, tensor in _counted(base).items()}
    for name in [*expected, *stored]:
        if expected.get(name) != stored.get(name):
            raise Unsupported(
                f"the weights of {base.path} are not those of a stock {base.shape.family} model",
                why=f"{name} is {stored.get(name, 'not stored')}; config.json makes it {expected.get(name, 'foreign')}",
                mend=_mend(name, stored),
            )


def _mend(name: str, stored: Collection[str]) -> str:
    if name == HEAD and name not in stored:
        return "set tie_word_embeddings in config.json to true if the head is the embedding"
    return "layers of unequal shape and added modules cannot be cut; give the original model"
