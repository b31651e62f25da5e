"""Own code and remote code: what a checkpoint wants loaded beside its weights, and from where."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from edgelm.check.base import Check, Findings, finding, some
from edgelm.check.look import Model
from edgelm.checkpoint import read_config

CONFIGS = ("config.json", "generation_config.json", "tokenizer_config.json")
BUILT_IN = {"eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention", "grouped_mm", "batched_mm"}
SWITCHES = frozenset({"trust_remote_code", "use_kernels", "use_hub_kernels", "kernel_config", "custom_generate"})
MAP = frozenset({"auto_map"})


def own_code(model: Model) -> Findings:
    """CKP-08: Python files of the model's own, which run in the sandbox alone."""
    files = [name for name in model.package.files if name.endswith(".py") and name.startswith(_code_folders(model))]
    if files:
        yield finding("CKP-08", files[0], f"own code: {some(files)}")


def remote_code(model: Model) -> Findings:
    """CKP-09: values of the configurations that would fetch code or kernels from elsewhere."""
    modules = {PurePosixPath(name).name for name in model.package.files if name.startswith(_code_folders(model))}
    for name in CONFIGS:
        path = model.find(f"checkpoint/{name}")
        if path.is_file():
            for key, value in _entries(read_config(path)):
                if problem := _problem(key, value, modules):
                    yield finding("CKP-09", model.at(f"checkpoint/{name}"), f"{key}: {problem}")


def _code_folders(model: Model) -> tuple[str, str]:
    return model.at("checkpoint/"), model.at("code/")


class _Key(NamedTuple):
    """A key below others. Its path is joined for a problem alone: a stranger's may be long, and have a million keys."""

    above: _Key | None
    name: str
    meant: frozenset[str]  # itself and those above it, as far as they have a meaning here

    def __str__(self) -> str:
        names, key = [self.name], self
        while key.above is not None:
            key = key.above
            names.append(key.name)
        return ".".join(reversed(names))


def _entries(content: dict[str, Any]) -> Iterator[tuple[_Key, Any]]:
    """Every key with its value, nested ones below those above them; those in a list by its key."""
    left: list[tuple[_Key | None, Any]] = [(None, content)]
    while left:
        above, value = left.pop()
        meant = above.meant if above else frozenset()
        for name, inner in value.items() if isinstance(value, dict) else ((None, inner) for inner in value):
            key = above if name is None else _Key(above, name, meant | {name} & (SWITCHES | MAP))
            if isinstance(inner, dict | list):
                left.append((key, inner))
            elif key is not None:
                yield key, inner


def _problem(key: _Key, value: Any, modules: set[str]) -> str:
    """Why a value would load code from elsewhere; empty if it would not."""
    if MAP & key.meant and isinstance(value, str):
        if "--" in value or "/" in value:
            return f"{value!r} is code of a repository"
        if f"{value.partition('.')[0]}.py" not in modules:
            return f"{value!r} is in no file of the package"
    if key.name.endswith(("implementation", "implementation_internal")) and isinstance(value, str):
        return "" if value in BUILT_IN else f"{value!r} is no kernel that comes with the library"
    if SWITCHES & key.meant and value not in (None, False, "", 0):
        return f"{value!r} loads code or kernels from elsewhere"
    return ""


MODEL_CHECKS = (Check("CKP-04", own_code), Check("CKP-04", remote_code))
