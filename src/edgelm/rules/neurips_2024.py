"""The Edge-Device LLM Competition of NeurIPS 2024: seven tasks, a hold-out, throughput twice, 12 GiB."""

from __future__ import annotations

from dataclasses import dataclass

from edgelm.rules.base import Rules, Track


@dataclass(frozen=True)
class Neurips2024(Rules):
    """The published rules; where their text allows two readings, `docs/design.md` names the one taken."""

    name: str = "neurips-2024"
    tracks: tuple[Track, ...] = (
        Track("compression", "compressed", ("phi-2", "llama-3-8b", "qwen-7b")),
        Track("from-scratch", "from-scratch", ("model",)),
    )
    tasks: tuple[str, ...] = (
        "commonsenseqa", "bbh", "gsm8k", "longbench", "humaneval", "truthfulqa", "chid", "holdout",
    )  # fmt: skip
    bases: tuple[str, ...] = (  # the published rules and the starting kit name different editions: all are taken
        "phi-2/microsoft/phi-2",
        "llama-3-8b/meta-llama/Meta-Llama-3-8B", "llama-3-8b/meta-llama/Meta-Llama-3-8B-Instruct",
        "llama-3-8b/meta-llama/Llama-3.1-8B", "llama-3-8b/meta-llama/Llama-3.1-8B-Instruct",
        "qwen-7b/Qwen/Qwen-7B", "qwen-7b/Qwen/Qwen-7B-Chat", "qwen-7b/Qwen/Qwen2-7B", "qwen-7b/Qwen/Qwen2-7B-Instruct",
    )  # fmt: skip
