"""Outputs of every step and of whole recipes, on every family and variant, as folders and as GGUF files.

The tokenizers are small, but cut text as the
families' real ones do: Llama 3's, Qwen2's and Phi-2's patterns.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

import edgelm.compress.run as running
from edgelm.checkpoint import Checkpoint
from edgelm.compress.fallback import built_in
from edgelm.compress.quality import Head
from edgelm.compress.run import compress
from edgelm.compress.stream.model import Model
from edgelm.compress.vocabulary.trim import NAMES
from edgelm.data.texts import TextSource
from edgelm.deploy.base import deploy
from edgelm.plugins import parse

Once = Callable[[str, Callable[[Path], None]], Path]
PROMPT = [1, 40, 41, 42, 43, 60, 61, 62, 5, 90, 91, 92]  # ids of every vocabulary here
_SPECIALS = ("<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>")
_ROWS = 640  # of which trimming keeps 384
_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_WORD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_PATTERNS = {"llama": rf"{_WORD}|\p{{N}}{{1,3}}|{_REST}", "qwen2": rf"{_WORD}|\p{{N}}|{_REST}", "phi": ""}
_PATTERNS["qwen3"] = _PATTERNS["qwen2"]

_MHA = {"num_key_value_heads": 4}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama-tied": ("llama", {"tied": True}),
    "llama-mha": ("llama", _MHA),
    "llama-mha-tied": ("llama", {**_MHA, "tied": True}),
    "qwen2": ("qwen2", {}),
    "qwen2-tied": ("qwen2", {"tied": True}),
    "qwen3": ("qwen3", {}),
    "qwen3-tied": ("qwen3", {"tied": True}),
    "phi": ("phi", _MHA),
    "phi-gqa": ("phi", {"tied": True}),
}


def recipes(variant: str) -> dict[str, str]:
    """A recipe for each step and each way that it goes about it, and one of all steps, by name."""
    family, settings = VARIANTS[variant]
    # Qwen2 and Phi are narrowed with their heads, of which a whole group goes where there are groups.
    grouped = "num_key_value_heads" not in settings
    square = "width:hidden=32,heads=2" if grouped else "width:hidden=48,heads=3"
    free = family in ("llama", "qwen3")
    hidden, merge = ("width:hidden=48" if free else square), "mean" if family == "qwen3" else "svd"
    whole_kv = 1 if free or not grouped else None  # the narrowing above has left one key head
    found = {
        "vocab": "vocab:keep=384", "depth": "depth:drop=1,force=1", "ffn": "width:ffn=96", "hidden": hidden,
        "kv-mean": "kv:heads=1,merge=mean", "block": "heal:tokens=256,method=block",
        "lora": "heal:tokens=256,method=lora,rank=4", "full": "heal:tokens=256,method=full",
        "replace": "depth:drop=1,force=1,replace=1,protect=first:1,learn_tokens=128", "cast": "cast:dtype=float16",
        "repair": "depth:drop=1,force=1 width:ffn=96 repair",
    }  # fmt: skip
    if free:
        found["heads"] = "width:heads=2"
    if merge == "svd":
        found["kv-svd"] = "kv:heads=1,merge=svd"
    if settings.get("tied") and family != "phi":
        found["untied"] = f"{hidden},untie=1"
    steps = [found["vocab"], found["depth"], found["ffn"], hidden, found.get("heads"),
             whole_kv and f"kv:heads=1,merge={merge}", "heal:tokens=256,method=full"]  # fmt: skip
    found["whole"] = " ".join(step for step in steps if step)
    return found


@dataclass(frozen=True)
class Made:
    """What became of a recipe: `folder` holds the checkpoint, the GGUF and the logits that memory held on `PROMPT`."""

    name: str
    folder: Path

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.folder / "hf")

    @property
    def gguf(self) -> Path:
        return self.folder / "gguf" / "model.gguf"

    @property
    def logits(self) -> Tensor:
        found: Tensor = torch.load(self.folder / "logits.pt")
        return found


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Once:
    """`once("name", make)`: the folder that `make` filled, once a session; other processes of pytest-xdist wait."""
    own = tmp_path_factory.getbasetemp()
    root = own.parent if hasattr(request.config, "workerinput") else own

    def of(name: str, make: Callable[[Path], None]) -> Path:
        folder = root / f"exports-{name}"
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "done").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                (folder / "done").touch()
        return folder

    return of


@pytest.fixture(scope="session")
def made(make_checkpoint: Callable[..., Path], texts: list[TextSource], once: Once) -> list[Made]:
    """All outputs."""

    def make(folder: Path) -> None:
        for variant, (family, settings) in VARIANTS.items():
            base = _base(make_checkpoint, family, settings)
            for name, recipe in recipes(variant).items():
                _make(base, recipe, folder / f"{variant}-{name}", texts)

    folder = once("outputs", make)
    return [Made(path.name, path) for path in sorted(folder.iterdir()) if path.is_dir()]


def _base(make_checkpoint: Callable[..., Path], family: str, settings: dict[str, Any]) -> Checkpoint:
    ids = {"bos_token_id": 0, "eos_token_id": 1}
    folder = make_checkpoint(family, vocab_size=_ROWS, num_hidden_layers=3, **ids, **settings)
    for name in NAMES:
        (folder / name).unlink(missing_ok=True)
    _tokenizer(family).save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps({"bos_token_id": 0, "eos_token_id": [1, 3]}))
    return Checkpoint(folder)


def _tokenizer(family: str) -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE(ignore_merges=family == "llama"))
    core.pre_tokenizer = _pre_tokenizer(_PATTERNS[family])
    core.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(vocab_size=_ROWS - 8, special_tokens=list(_SPECIALS), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    core.train_from_iterator([document.text for document in built_in().documents], trainer)
    if family == "llama":  # as Llama 3, whose tokenizer puts a token in front
        core.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
            single="<|bos|> $A", pair="<|bos|> $A $B", special_tokens=[("<|bos|>", 0)]
        )
    fast = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<|bos|>", eos_token="<|eos|>")
    fast.chat_template = _TEMPLATE
    return fast


def _pre_tokenizer(pattern: str) -> Any:
    """Pieces by the pattern; by GPT-2's, which the ByteLevel stage has built in, without one."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not pattern)
    if not pattern:
        return byte_level
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), behavior="isolated"), byte_level])


def _make(base: Checkpoint, recipe: str, folder: Path, texts: list[TextSource]) -> None:
    folder.mkdir(parents=True)
    steps = [parse("compress", step) for step in recipe.split()]
    dtype = None if recipe.startswith("cast") else "float32"
    with _kept_logits(folder / "logits.pt"):
        result = compress(base, steps, folder / "hf", texts=texts, tokens=400, sequence=48, dtype=dtype)
    deploy(result, parse("deploy", "gguf:dtype=F32"), folder / "gguf")


@contextmanager
def _kept_logits(path: Path) -> Iterator[None]:
    """Within it, a model that is about to be written leaves the logits that it has in memory."""
    write = running.write_weights

    def spy(model: Model, *args: Any, **options: Any) -> Any:
        [states_TD] = model.final_states([PROMPT], lambda done, total: None)
        torch.save(Head(*model.head())(states_TD), path)
        return write(model, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "write_weights", spy)
        patch.setattr(running, "write_page", lambda checkpoint: None)  # a third of the time, and no export
        yield


@pytest.fixture(scope="session")
def prompt() -> list[int]:
    """Ids that every vocabulary here has."""
    return PROMPT
