"""Results files as teams of the first competition wrote them: headers, shapes and the telling figures are theirs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgelm.results.base import Claims, Expected
from edgelm.results.held import expected
from edgelm.results.read import read
from edgelm.rules.neurips_2024 import Neurips2024

KIT = "CommonsenseQA,BIG-Bench-Hard,GSM8K,LongBench,HumanEval,CHID,TruthfulQA,Throughput,Memory-Usage\n"
SIX = "CommonsenseQA,BIG-Bench-Hard,GSM8K,HumanEval,CHID,TruthfulQA,Throughput,Memory-Usage\n"
FILES: dict[str, tuple[str, str, str]] = {  # file name, track, contents
    "template": ("Results.csv", "compression", KIT + "0,0,0,0,0,0,0,0,0\n"),
    "earlier-kit": ("Results.csv", "from-scratch",
                    KIT.replace("TruthfulQA", "crowspairs_gen") + "0,0,0,0,0,0,0,0,0\n"),
    "example": ("Results.CSV", "compression", ""),
    "one-row": ("Results.csv", "compression", SIX + "26.51,21.377,12.6,11.59,28.123,0.173,23.097,8573.243\n"),
    "from-scratch": ("Results.csv", "from-scratch", SIX + "8.93,16.80,2.43,0.00,3.75,0.15,3100,41\n"),
    "summary": ("Summary.csv", "from-scratch", "\n".join([
        "dataset,version,metric,mode,nano_converted_hf", "commonsense_qa,734a22,accuracy,gen,8.93",
        "chid-dev,211ee7,accuracy,gen,3.47", "chid-test,211ee7,accuracy,gen,3.75",
        "openai_humaneval,8e312c,humaneval_pass@1,gen,0.00", "bbh-navigate,1576d9,score,gen,0.00",
        "bbh-snarks,42d6ca,score,gen,52.81", "gsm8k,1d7fe4,accuracy,gen,2.43",
        "truthful_qa,5ddc62,bleu_max,gen,0.06", "truthful_qa,5ddc62,bleu_diff,gen,-0.02",
        "truthful_qa,5ddc62,bleu_acc,gen,0.15", "bbh,-,naive_average,gen,16.80", "longbench,-,-,-,-"])),
    "lower-case": ("results.csv", "from-scratch",
                   SIX.replace("BIG-Bench-Hard", "BIG-Bench Hard").replace("Memory-Usage", "GPU Memory Usage")
                   + "0,0.85,1.36,0,13.09,0.1,1.8,1.9"),
    "with-units": ("Results.csv", "compression", "\n".join([
        "Model,Commonsenseqa_gen,FewChid_gen,bbh_gen,HumanEval,GSM8K,TruthfulQA,Memory,Throughput",
        "Llama3,22.11,13.59,7.91,0.61,1.97,0.18,8.755 GB,71.61 inf/s 0.014 s",
        "Qwen,0,0.55,1.84,0,0.83,0,7 GB,77.73 inf/s 0.0129 s",
        "Phi,65.52,14.34,59.46,28.66,62.09,0.18,6.143 GB,13.53 inf/s 0.0739 s", ""])),
    "readme": ("README.md", "compression", "\n".join([
        "# A team", "", "Our table:", "",
        "|Model|Total Params|GSM8K      |HumanEval  |CHID       |TruthfulQA| MMLU",
        "|-|--------------|-----------|-----------|-----------|----------|-----",
        "|Llama3.1-8B-Instruct-Pruned|3826965504|\t40.24 |\t63.31| 0.29 |44.47 |\t58.57 ", "", "And more text.", ""])),
}  # fmt: skip


def held(track: str, **more: object) -> Expected:
    """What a file of a track is held against."""
    rules = Neurips2024()
    return expected(rules, rules.track(track).slots, **more)  # type: ignore[arg-type]


@pytest.fixture
def against() -> Callable[..., Expected]:
    """`against("compression", sizes=…, reports=…)`: what a file of that track is held against."""
    return held


@pytest.fixture(scope="session")
def files() -> dict[str, tuple[str, str, str]]:
    """Name, track and contents of the files, by what they show."""
    return FILES


@pytest.fixture
def seen() -> Callable[..., Claims]:
    """`seen("one-row")`: what one of the files says, as it is or under other expectations."""

    def reading(which: str, **more: object) -> Claims:
        name, track, text = FILES[which]
        return read(text.encode(), name, held(track, **more))

    return reading


@pytest.fixture
def says() -> Callable[..., Claims]:
    """`says("Model,GSM8K\\nphi-2,1.5\\n")`: what a text or bytes say under a name and a track."""

    def reading(data: str | bytes, name: str = "results.csv", track: str = "compression", **more: object) -> Claims:
        return read(data.encode() if isinstance(data, str) else data, name, held(track, **more))

    return reading
