"""What code of the package imports and reads, by its syntax trees: quantised kernels, and data that is not allowed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from edgelm.check.base import Check, Findings, Severity, finding, some
from edgelm.check.look import Package
from edgelm.check.source import LARGEST
from edgelm.errors import InputError
from edgelm.files import parse_json
from edgelm.submission import BUNDLE, SOURCE

PARSED = 512 << 10  # characters of which a syntax tree is made; what is longer is read word by word
QUANTISED = (
    "bitsandbytes", "auto_gptq", "gptqmodel", "gptq", "awq", "autoawq", "awq_ext", "awq_inference_engine", "exllama",
    "exllamav2", "exllamav3", "exllama_kernels", "quanto", "optimum.quanto", "optimum.gptq", "hqq", "aqlm", "eetq",
    "vptq", "quip", "marlin", "torchao", "torch.ao.quantization", "torch.ao.nn.quantized", "torch.quantization",
    "torch.nn.quantized", "llmcompressor", "compressed_tensors", "neural_compressor", "fbgemm_gpu", "nncf",
    "onnxruntime.quantization", "tensorrt_llm.quantization", "intel_extension_for_pytorch.quantization",
)  # fmt: skip  # modules; what lies below them, too
CLASSES = {
    "BitsAndBytesConfig", "GPTQConfig", "AwqConfig", "AqlmConfig", "HqqConfig", "QuantoConfig", "EetqConfig",
    "TorchAoConfig", "FbgemmFp8Config", "CompressedTensorsConfig", "HiggsConfig", "VptqConfig", "FPQuantConfig",
}  # fmt: skip  # of transformers
ARGUMENTS = {"load_in_4bit", "load_in_8bit"}
ASKED_FOR, BELOW = CLASSES | ARGUMENTS, tuple(f"{name}." for name in QUANTISED)
BENCHMARK = re.compile(
    r"gsm8k|human[-_]?eval|commonsense[-_]?qa|truthful[-_]?qa|long[-_]?bench|(?<![a-z])bbh(?![a-z])|big[-_]?bench"
    r"|(?<![a-z])chid(?![a-z])|(?<![a-z])mmlu(?![a-z])|(?<![a-z])c-?eval(?![a-z])", re.IGNORECASE,
)  # fmt: skip
DATA_FILE = re.compile(  # begins where a name does and is of limited length: else it is tried anew at every character
    r"(?<![\w.\-/:])[\w.\-/:]{1,300}\.(?:jsonl?|csv|tsv|parquet|arrow|txt|zip)(?:\.gz|\.zst)?", re.IGNORECASE
)
WORD = re.compile(r"[\w.]+")
FROM = re.compile(r"\bfrom[ \t]+([\w.]+)[ \t]+import\b([^\n;#]*)")
FORMATS = {"json", "csv", "text", "parquet", "arrow", "imagefolder", "webdataset"}  # no data set of their own
HOMES = {"allenai", "tatsu-lab", "shibing624", "legacy-datasets"}  # whose data sets of an allowed name are the allowed
READERS = {"load_dataset", "load_dataset_builder", "snapshot_download", "hf_hub_download"}


def code(package: Package) -> Findings:
    """QNT-04, DAT-03: one finding a file and code."""
    for name in package.files:
        path = package.path / name
        if path.suffix not in (".py", ".ipynb", ".sh", ".yaml", ".yml", ".toml") or path.stat().st_size > LARGEST:
            continue
        text = path.read_bytes().decode(errors="replace")
        imported, read = _seen(text if path.suffix != ".ipynb" else _cells(text), path.suffix in (".py", ".ipynb"))
        if kernels := sorted(set(filter(_is_quantised, imported))):
            place: Severity = "R" if name.startswith(f"{SOURCE}/") or f"/{BUNDLE}/" in name else "E"
            yield finding("QNT-04", name, f"it imports or asks for {some(kernels)}", severity=place)
        if sets := sorted({one for one in read if _is_foreign(one, package.rules.training_data)}):
            yield finding("DAT-03", name, f"it reads {some(sets)}")


def _seen(text: str, is_python: bool) -> tuple[list[str], list[str]]:
    """The names that a text imports, and the data sets and files that it names."""
    if not is_python:
        return [], DATA_FILE.findall(text)
    if len(text) > PARSED:
        return _words(text), DATA_FILE.findall(text)
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # another Python's, or hostile: word by word
        return _words(text), DATA_FILE.findall(text)
    imported = [name for node in nodes for name in _imported(node)]
    return imported, [name for node in nodes for name in _read(node)]


def _words(text: str) -> list[str]:
    """All words of a text that cannot be parsed, and what it takes from a module by the name of both."""
    taken = (f"{module}.{name}" for module, names in FROM.findall(text) for name in WORD.findall(names))
    return [*dict.fromkeys(WORD.findall(text)), *taken]


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Attribute) and node.attr in CLASSES:
        yield node.attr
    elif isinstance(node, ast.Call):
        if _called(node) in ("import_module", "__import__"):
            yield from _texts(node.args[:1])
        yield from (word.arg for word in node.keywords if word.arg in ARGUMENTS)


def _read(node: ast.AST) -> Iterator[str]:
    """Data sets that are asked for by name, and texts that name a file of data."""
    if isinstance(node, ast.Call) and (called := _called(node)) in READERS:
        words = {word.arg: word.value for word in node.keywords}
        of_data = called.startswith("load_dataset") or "dataset" in _texts([words.get("repo_type")])
        names = [node.args[0] if node.args else words.get("path", words.get("repo_id"))]
        yield from (f"data set {name}" for name in _texts(names) if of_data)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and DATA_FILE.fullmatch(node.value):
        yield node.value


def _called(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _texts(nodes: list[Any]) -> list[str]:
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def _cells(text: str) -> str:
    """The Python of a notebook, without lines that are commands to it."""
    try:
        cells = parse_json(text, "notebook")["cells"]
        lines = [line for cell in cells if cell["cell_type"] == "code" for line in "".join(cell["source"]).split("\n")]
    except (InputError, KeyError, TypeError):
        return ""
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


def _is_quantised(name: str) -> bool:
    return name.rpartition(".")[2] in ASKED_FOR or f"{name}.".startswith(BELOW)


def _is_foreign(name: str, allowed: tuple[str, ...]) -> bool:
    """Whether a data set is none of the allowed, or a file is one of a benchmark's."""
    kind, _, named = name.rpartition("data set ")
    if not kind and not name.startswith("data set "):
        return bool(BENCHMARK.search(name))
    home, _, plain = named.casefold().rpartition("/")
    if (plain in FORMATS and not home) or named.startswith((".", "/")):
        return bool(BENCHMARK.search(named))
    return plain not in allowed or (home != "" and home not in HOMES)


CHECKS = (Check("QNT-04", code),)
