"""A checkpoint: a Hugging Face folder (`config.json`, `*.safetensors`, tokenizer) and its `card.json`.

Everything here is read from headers and JSON, without torch and without touching a weight: an 8B checkpoint is
described in milliseconds.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from edgelm.errors import BadFile, MissingInput
from edgelm.files import (
    MAX_RECORD,
    canonical_json,
    read_bytes,
    read_json,
    sha256_bytes,
    sha256_file,
    write_bytes,
    write_json,
)  # fmt: skip
from edgelm.headers import Tensor, read_header
from edgelm.shapes import Shape, shape_of

CARD = "card.json"
WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_PARTS = {".safetensors", ".json", ".model", ".tiktoken", ".txt", ".jinja", ".py"}  # endings of a checkpoint's files
_LOADED = ("AutoConfig", "AutoModelForCausalLM", "AutoTokenizer")  # what an `auto_map` may replace
_LICENCES = {"LICENSE", "NOTICE", "USE_POLICY"}
_MAX_LISTED = 10_000  # steps, parents, bodies of text: of each
Model = TypeVar("Model", bound=BaseModel)


def at_most(members: int) -> BeforeValidator:
    """Refuse a longer list or object before its members are looked at: an error is kept of each that is wrong."""

    def short(value: Any) -> Any:
        if isinstance(value, list | dict) and len(value) > members:
            raise ValueError(f"it has {len(value):,} members, at most {members:,} are read")
        return value

    return BeforeValidator(short)


class Source(BaseModel):
    """One body of text that a model has seen."""

    model_config = ConfigDict(extra="allow", strict=True)

    name: str
    sha256: str = ""
    tokens: int = Field(default=0, ge=0, lt=2**63)
    licence: str = ""


class Card(BaseModel):
    """Where a checkpoint comes from: what no flag should have to repeat later. Unknown keys are kept."""

    model_config = ConfigDict(extra="allow", strict=True)

    base: str | None = None  # upstream name of the model it was compressed from
    slot: str | None = None  # the place it takes in a submission
    derivation: Literal["upstream", "compressed", "from-scratch"] = "upstream"
    recipe: Annotated[list[str], at_most(_MAX_LISTED)] = Field(default_factory=list)  # specs of the steps, in order
    steps: Annotated[list[dict[str, Any]], at_most(_MAX_LISTED)] = Field(default_factory=list)  # what each step did
    data: Annotated[list[Source], at_most(_MAX_LISTED)] = Field(default_factory=list)
    prompting: Literal["chat", "base"] | None = None  # None: chat if the tokenizer has a template
    parents: Annotated[list[str], at_most(_MAX_LISTED)] = Field(default_factory=list)  # digests, nearest first
    licence: str = ""
    made_by: str = ""


class Checkpoint:
    """A checkpoint on disk. Attributes are read when first asked for.

    Raises:
        MissingInput: no such folder, or no `config.json` in it.
        BadFile: a file in it is damaged (on the attribute that needs the file).
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise MissingInput(f"there is no checkpoint folder {self.path}", mend="give the folder with config.json")
        if not (self.path / "config.json").is_file():
            raise MissingInput(f"{self.path} holds no config.json", mend="give the folder of a Hugging Face checkpoint")

    @cached_property
    def config(self) -> dict[str, Any]:
        """The contents of `config.json`."""
        return read_config(self.path / "config.json")

    @cached_property
    def generation_config(self) -> dict[str, Any]:
        """The contents of `generation_config.json`; empty if there is none."""
        path = self.path / "generation_config.json"
        return read_config(path) if path.is_file() else {}

    @cached_property
    def tokenizer_config(self) -> dict[str, Any]:
        """The contents of `tokenizer_config.json`; empty if there is none."""
        path = self.path / "tokenizer_config.json"
        return read_config(path) if path.is_file() else {}

    @cached_property
    def shape(self) -> Shape:
        """The dimensions that the configuration describes."""
        return shape_of(self.config)

    @property
    def context(self) -> int | None:
        """How many tokens the model was made for, as `config.json` says; None if it does not."""
        value = self.config.get("max_position_embeddings")
        return value if isinstance(value, int) and 0 < value < 2**63 else None

    @cached_property
    def card(self) -> Card:
        """The card; an empty one if there is none.

        Raises:
            BadFile: with the field that is wrong.
        """
        path = self.path / CARD
        if not path.is_file():
            return Card()
        return validate(Card, read_json(path), path)

    @cached_property
    def weight_files(self) -> list[Path]:
        """The safetensors files that hold the weights, chosen as transformers does: one whole file before an index."""
        whole, index = self.path / WHOLE, self.path / INDEX
        if whole.is_file():
            return [whole]
        if index.is_file():
            names = sorted(set(self._weight_map(index).values()))
            if any(Path(name).name != name for name in names):
                raise BadFile(f"{index} names files outside the folder", mend="save the checkpoint again")
            missing = [name for name in names if not (self.path / name).is_file()]
            if missing:
                raise MissingInput(f"{self.path} lacks {', '.join(missing)}", mend=f"copy what {INDEX} names")
            return [self.path / name for name in names]
        found = sorted(self.path.glob("*.safetensors"))
        if not found:
            raise MissingInput(f"{self.path} holds no *.safetensors file", mend="save the weights as safetensors")
        return found

    @staticmethod
    def _weight_map(index: Path) -> dict[str, str]:
        weight_map = read_config(index).get("weight_map")
        if not isinstance(weight_map, dict) or not {str} == {type(name) for name in weight_map.values()}:
            raise BadFile(f"{index} has no weight_map", mend="save the checkpoint again")
        return weight_map

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """All stored tensors by name, from the headers."""
        found: dict[str, Tensor] = {}
        for path in self.weight_files:
            for tensor in read_header(path):
                if tensor.name in found:
                    raise BadFile(f"tensor {tensor.name} is in {found[tensor.name].file.name} and in {path.name}",
                                  mend="remove the file that the index does not name")  # fmt: skip
                found[tensor.name] = tensor
        return found

    @property
    def has_weights(self) -> bool:
        """Whether there are weight files (a folder of shapes alone has none)."""
        return (self.path / INDEX).is_file() or any(self.path.glob("*.safetensors"))

    @property
    def parameters(self) -> int:
        """Number of stored parameters; tied tensors count once."""
        return sum(tensor.size for tensor in self.tensors.values())

    @property
    def bytes(self) -> int:
        """Bytes of all stored tensors."""
        return sum(tensor.bytes for tensor in self.tensors.values())

    @property
    def dtypes(self) -> dict[str, int]:
        """Number of parameters by storage dtype, most first."""
        counts: Counter[str] = Counter()
        for tensor in self.tensors.values():
            counts[tensor.dtype] += tensor.size
        return dict(counts.most_common())

    @property
    def tokenizer_path(self) -> Path:
        """The folder of the tokenizer's files."""
        return self.path

    @cached_property
    def chat_template(self) -> str | None:
        """The tokenizer's chat template, if it has one; of several, the one that is used unless another is named."""
        path = self.path / "chat_template.jinja"
        if path.is_file():
            try:
                return read_bytes(path, MAX_RECORD).decode()
            except UnicodeDecodeError as error:
                raise BadFile(f"{path} is not UTF-8 text", why=str(error), mend="copy it from the base") from None
        template = self.tokenizer_config.get("chat_template")
        if isinstance(template, list):
            named = [each for each in template if isinstance(each, dict) and each.get("name") == "default"]
            template = named[0].get("template") if named else None
        return template if isinstance(template, str) else None

    @property
    def prompting(self) -> Literal["chat", "base"]:
        """How the model wants to be asked: as its card says, else by chat if it has a chat template."""
        return self.card.prompting or ("chat" if self.chat_template else "base")

    @property
    def own_code(self) -> list[str]:
        """The classes that the configuration wants loaded from code of the checkpoint's own, as it names them."""
        maps = [config.get("auto_map") for config in (self.config, self.tokenizer_config)]
        # The tokenizer's may be a list: the slow class and the fast one, either of which may be none.
        named = [[each.get(name) for name in _LOADED] if isinstance(each, dict) else each for each in maps]
        flat = [name for each in named if isinstance(each, list) for name in each]
        return [str(name) for each in flat for name in (each if isinstance(each, list) else [each]) if name is not None]

    @cached_property
    def digest(self) -> str:
        """The checkpoint's identity: sha256 over the names and digests of its `files`."""
        return self.compute_digest()

    def compute_digest(self, progress: Callable[[int], object] | None = None) -> str:
        """Compute `digest`, telling `progress` the bytes read (an 8B checkpoint takes seconds)."""
        return digest_of(self.file_digests(progress))

    @property
    def files(self) -> list[str]:
        """Names of the files that make the checkpoint: configuration, weights, tokenizer, own code and licence.

        The card, logs, hidden files and what else lies in the folder do not change what the model answers.
        """
        return [path.name for path in sorted(self.path.iterdir()) if is_part(path.name) and path.is_file()]

    def file_digests(self, progress: Callable[[int], object] | None = None) -> dict[str, str]:
        """The sha256 of every file in `files` by name. Links count as what they point to (the hub's cache)."""
        return {name: sha256_file(self.path / name, progress) for name in self.files}

    def write_card(self, card: Card) -> None:
        """Write `card.json`."""
        write_json(self.path / CARD, card.model_dump(mode="json", exclude_defaults=True))
        self.__dict__.pop("card", None)


def is_part(name: str) -> bool:
    """Whether a file of that name in a checkpoint's folder is one of its `files`."""
    path = PurePosixPath(name)
    named = path.suffix in _PARTS or path.stem in _LICENCES
    return named and name != CARD and not name.startswith(".") and "/" not in name


def digest_of(files: Mapping[str, str]) -> str:
    """The identity of a checkpoint whose files have these sha256s by name."""
    return sha256_bytes(canonical_json(dict(files)))


def read_config(path: Path) -> dict[str, Any]:
    """A JSON file that must hold an object."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise BadFile(f"{path} holds no JSON object", mend="restore the file")
    return value


def validate(model: type[Model], value: object, where: object) -> Model:
    """Make a pydantic model from parsed JSON, or say which field is wrong.

    Raises:
        BadFile: with the path of the first wrong field and what it should be.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "the whole"
        raise BadFile(f"{where}: field {field} is wrong", why=first["msg"], mend="mend the field") from None


def write_config(path: Path, config: dict[str, Any]) -> None:
    """Write a `config.json`, in the insertion order of its keys (see `write_bytes`)."""
    write_bytes(path, json.dumps(config, ensure_ascii=False, indent=2).encode() + b"\n")
