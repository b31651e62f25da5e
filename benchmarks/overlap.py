"""The overlap filter on real text: benchmark rows in disguise among clean documents, how many are found, how fast.

    EDGELM_DATA=DATA python benchmarks/overlap.py [--documents 100000] [--plants 100] [--seed 0] [--n 13]

Planted: rows drawn over the seven benchmarks, written out as their prompts and papers do it (not as the index holds
them), each in one of four disguises: as it is, in other case, with other punctuation, within another document. Clean:
C4 and Alpaca of the data folder. What of these is flagged is compared with the items as plain strings, by code of its
own: a document that shares no run of units with an item that it is said to hit is a false alarm.
"""

from __future__ import annotations

import argparse
import random
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgelm.data.folder import DataFolder
from edgelm.data.texts import from_file, from_folder
from edgelm.train.overlap.index import OverlapIndex, written
from edgelm.train.overlap.items import BENCHMARKS, Item, parts
from edgelm.train.overlap.runs import CONTEXT_RUN, SHORTEST

DERIVED = "c4/derived/c4_en_docs.jsonl.gz"  # more of C4 than the listed sources
SIGNS = [",", ";", ":", "–", "…", "!", "/", "(", ")", "“", "”", "、", "。", "*", "|"]


# Rows as people write them


def _commonsenseqa(row: Mapping[str, Any]) -> str:
    choices = [f"{each['label']}. {each['text']}" for each in row["question"]["choices"]]
    return "\n".join([f"Q: {row['question']['stem']}", "Answer Choices:", *choices, f"A: {row['answerKey']}"])


def _gsm8k(row: Mapping[str, Any]) -> str:
    return f"Question: {row['question']}\nLet's think step by step\nAnswer: {row['answer']}"


def _chid(row: Mapping[str, Any]) -> str:
    options = "\n".join(f"{letter}. {idiom}" for letter, idiom in zip("ABCDEFG", row["candidates"], strict=True))
    content = row["content"].replace("#idiom#", "______")
    return f"{content}\n请选择______处所填的词\n{options}\n答：{'ABCDEFG'[row['answer']]}"


def _truthfulqa(row: Mapping[str, Any]) -> str:
    return f"Q: {row['Question']}\nA: {row['Best Answer']}"


def _longbench(row: Mapping[str, Any]) -> str:
    return f"{row['context']}\n\n{row['input']}\n{row['answers'][0]}"


WRITE: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "commonsenseqa": _commonsenseqa, "gsm8k": _gsm8k, "chid": _chid, "truthfulqa": _truthfulqa,
    "longbench": _longbench, "bbh": lambda row: f"Q: {row['input']}\nA: The answer is {row['target']}.",
    "humaneval": lambda row: row["prompt"] + row["canonical_solution"],
}  # fmt: skip


# Disguises


def _recased(text: str, draw: random.Random) -> str:
    return draw.choice([text.upper(), text.lower(), text.title(), text.swapcase()])


def _repunctuated(text: str, draw: random.Random) -> str:
    """Every sign another one or none, and signs where there were none; words stay apart, as a reader needs it."""
    signs = "".join(c if c.isalnum() or c in "'’" else draw.choice(["", *SIGNS]) + " " for c in text)
    return signs.replace("'", draw.choice(["", "’"]))


def _embedded(text: str, draw: random.Random, around: str) -> str:
    words = around.split(" ")
    cut = draw.randrange(len(words) + 1)
    return " ".join([*words[:cut], text, *words[cut:]])


def plants(data: DataFolder, count: int, draw: random.Random, around: list[str]) -> list[tuple[str, str, str]]:
    """Benchmark and file, disguise, and text of the planted rows; every benchmark has its share."""
    here, made = parts(data)[0], []
    order = [benchmark for _ in range(count) for benchmark in BENCHMARKS][:count]
    for number, benchmark in enumerate(order):
        part = draw.choice([part for part in here if part.benchmark == benchmark])
        where, row = draw.choice(list(part.rows(data, part.file)))
        text, disguise = WRITE[benchmark](row), ("as it is", "case", "punctuation", "embedded")[number // 7 % 4]
        if disguise == "case":
            text = _recased(text, draw)
        elif disguise == "punctuation":
            text = _repunctuated(text, draw)
        elif disguise == "embedded":
            text = _embedded(text, draw, draw.choice(around))
        made.append((where, disguise, text))
    return made


# The comparison as plain strings


def _plainly(text: str) -> str:
    """The units of a text between blanks, cut character by character."""
    made = []
    for c in unicodedata.normalize("NFKC", text).casefold():
        alone = "一" <= c <= "鿿" or "㐀" <= c <= "䶿" or "ぁ" <= c <= "ヿ"
        made.append(f" {c} " if alone and c.isalnum() else c if c.isalnum() else "" if c in "'’‘\u00ad\u200b" else " ")
    return f" {' '.join(''.join(made).split())} "


def truly_shares(text: str, item: Item, n: int) -> bool:
    """Whether a document holds a run of units of an item, by looking for each as a string."""
    inside = _plainly(text)
    for own, most in [*((each, n) for each in item.texts), *((each, CONTEXT_RUN) for each in item.contexts)]:
        words = _plainly(own).split()
        size = min(most, len(words))
        runs = (words[start : start + size] for start in range(len(words) - size + 1)) if size >= SHORTEST else ()
        if any(f" {' '.join(run)} " in inside for run in runs):
            return True
    return False


def clean(data: DataFolder, count: int, draw: random.Random) -> list[str]:
    """Distinct documents: all of C4 that is there, the rest from Alpaca."""
    sources = from_folder(data)
    if data.root and (data.root / DERIVED).is_file():
        sources.insert(0, from_file(data.root / DERIVED))
    web, chats = (list(dict.fromkeys(written(each) for source in sources for each in source.documents
                                     if each.text and (each.question is None) is plain))
                  for plain in (True, False))  # fmt: skip
    return web[:count] + draw.sample(chats, min(len(chats), max(0, count - len(web))))


def main() -> None:
    """Plant, look, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--plants", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=13)
    options = parser.parse_args()
    data, draw = DataFolder(options.data, offline=True), random.Random(options.seed)
    start = time.process_time()
    index = OverlapIndex.build(data, options.n)
    print(f"index: {len(index.items):,} items in {time.process_time() - start:.1f} s of CPU; n = {index.n}; "
          f"too short: {index.blind}; not at hand: {', '.join(index.missing) or 'nothing'}")  # fmt: skip
    documents = clean(data, options.documents, draw)
    planted = plants(data, options.plants, draw, documents)
    mixed = [(text, None) for text in documents] + [(text, number) for number, (_, _, text) in enumerate(planted)]
    draw.shuffle(mixed)
    size = sum(len(text.encode()) for text, _ in mixed)
    start = time.process_time()
    flags = index.flags([text for text, _ in mixed])
    seconds = time.process_time() - start
    print(f"{len(mixed):,} documents, {size / 1e6:.1f} MB: {size / 1e6 / seconds:.1f} MB/s of CPU")

    found = {number for (_, number), flag in zip(mixed, flags, strict=True) if flag and number is not None}
    by = {disguise: Counter() for disguise in ("as it is", "case", "punctuation", "embedded")}
    for number, (where, disguise, text) in enumerate(planted):
        by[disguise][number in found] += 1
        if number not in found:
            print(f"missed: {where}, {disguise}: {text[:300]!r}")
    print(f"planted: {len(found)} of {len(planted)} found; "
          + ", ".join(f"{name} {of[True]}/{of.total()}" for name, of in by.items()))  # fmt: skip
    report([text for (text, number), flag in zip(mixed, flags, strict=True) if flag and number is None],
           index, data, len(documents))  # fmt: skip


def report(flagged: list[str], index: OverlapIndex, data: DataFolder, of: int) -> None:
    """What of the clean documents was flagged, with or without reason."""
    items = {item.name: item for part in parts(data)[0] for item in part.items(data)}
    false = 0
    for text in flagged:
        hits = index.hits(text)
        true = all(truly_shares(text, items[hit.item], index.n) for hit in hits)
        false += not true
        for hit in hits[:1]:
            print(f"  {'shares' if true else 'FALSE '} {hit.item}: {hit.units}")
    print(f"clean: {len(flagged)} of {of:,} flagged ({len(flagged) / of:.4%}), "
          f"{false} of them share nothing ({false / of:.4%})")  # fmt: skip


if __name__ == "__main__":
    main()
