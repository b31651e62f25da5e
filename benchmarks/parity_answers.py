"""Answers that try to fool a scorer: right and wrong ones in every disguise that a post-processor could see or miss."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Any

Draw = random.Random
Raw = Mapping[str, Any]  # a row as upstream wrote it

EMPTY = (
    "", " ", "\n", "\n\n\n", "\t \r\n", "\u3000", "\u200b", ".", "。", "**", "****", "()", "```\n```", "\ufeff", "\0",
)  # fmt: skip
STRANGE = (
    "I cannot answer this.", "我不知道。", "答案是：", "Å", "Ωmega", "Ⅳ", "Ⓑ", "ǅ", "🙂🙂", "e\u0301", "NaN", "inf",
    "1e3", "-", "--5", "٣", "３", "A" * 500, "no " * 700, "的" * 600, "Question: Question:",
    "the answer is the answer is ", "Let's think step by step. " * 30,
)  # fmt: skip
LEADS = (
    "", "", "", "\n", "Let's think. ", "it must be something to sit on. ", "A: ",
    "The question asks about a place.\n\n", "首先，我们来看题目。", "(X) is wrong, ", "**Reasoning**: none. ",
    "1. first\n2. second\n", "åß ", "Ⅳ: ", "我认为", "> quoted\n", "```\ncode\n```\n",
)  # fmt: skip
TAILS = (
    "", "", "", ".", "。", "!", "\n", "\n\nQ: What else?\nA: ", " Hope this helps.", ", because it is so.", "**", ")",
    " (or not)", "\n```", " .", "..", "\r\nNext", "<|im_end|>", "\nQuestion: how many?\nAnswer: 3", " 谢谢", "\u00a0",
    " #### 7",
)  # fmt: skip
MARKERS = (
    "So the answer is ", "so the answer is ", "SO THE ANSWER IS ", "So the answer is", "So the answer is: ",
    "So the answer is\n", "So the  answer is ", "So the answer is probably ", "So, the answer is ", "The answer is ",
    "the answer is ", "The answer is: ", "The Answer is ", "answer is ", "answer is\n", "answer is  ", "Answer: ",
    "Therefore it is ", "答案是", "答案：", "正确答案为 ", "#### ", "= ", "",
)  # fmt: skip
DRESSES = (
    "{}", "{}", "{}", "({})", "**{}**", "{}.", "{})", " {}", "[{}]", "option {}", "\\boxed{{{}}}", "({}", "** {} **",
    "**{}", "*{}*", "'{}'", '"{}"', "`{}`", "（{}）", "${}$", "${}", "€{}", "{}%", "-{}", "{}.0", "{}.50", "10-{}",
    "{}-1", "{}\nbut", "({}) or (Z)", "{}{}", "**{}** **Z**",
)  # fmt: skip


def answer(dataset: str, row: Raw, draw: Draw) -> str:
    """One answer to a row of the data set that OpenCompass calls `dataset`."""
    if draw.random() < 0.05 and dataset != "truthful_qa":
        return draw.choice(EMPTY + STRANGE)
    kind = next(kind for kind in KINDS if dataset.startswith(kind))
    return KINDS[kind](row, draw)


def _said(wanted: str, others: list[str], usual: str, draw: Draw) -> str:
    """The wanted text or another one, introduced in the usual or some other way, dressed, perhaps twice, and more."""
    text = draw.choice(LEADS)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        value = wanted if draw.random() < 0.8 else draw.choice(others)
        change = draw.choice((str, str, str, str.lower, str.upper, str.swapcase))
        marker = usual if draw.random() < 0.6 else draw.choice(MARKERS)
        dress = "{}" if draw.random() < 0.4 else draw.choice(DRESSES)
        text += marker + dress.format(*[change(value)] * 2) + draw.choice(TAILS)
    return text


def _choice(row: Raw, draw: Draw) -> str:
    return _said(row["answerKey"], [*"ABCDEPQXÅ", "Bank", "none"], "So the answer is ", draw)


def _idiom(row: Raw, draw: Draw) -> str:
    return _said("ABCDEFG"[row["answer"]], [*"ABCDEFGÅЯⅣǅＢ", *row["candidates"]], "答案是", draw)


def _number(row: Raw, draw: Draw) -> str:
    right = row["answer"].split("#### ")[1].replace(",", "")
    number = int(right)
    near = [
        f"{number:,}", f"{number}.00", f"{number}.0000001", f"{number}.00001", f"0{number}", f"{number}e0",
        str(number + 1), f"{number}.5", f"{number} 000", f"{number}/1", f"+{number}", f"{number}" * 40,
        right.translate(_ARABIC), f".{number}",
    ]  # fmt: skip
    return _said(right, near, "The answer is ", draw)


_ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


def _bbh(row: Raw, draw: Draw) -> str:
    target: str = row["target"]
    bare = target.strip("()")
    others = [
        bare, f"({bare})", f"( {bare} )", target.lower(), target.title(), target[:-1], "(A)", "(Z)", "Yes", "no",
        "valid", "True", "A", "7", f"{target} {target}", "So it is",
    ]  # fmt: skip
    return _said(target, others, "So the answer is ", draw)


def _truth(row: Raw, draw: Draw) -> str:
    known = [
        row["best_answer"], *row["correct_answers"], *row["incorrect_answers"], "I have no comment.",
        "I have no comment", row["question"],
    ]  # fmt: skip
    if draw.random() < 0.03:
        return draw.choice(
            (" ", "\n", "\t", "yes", "No.", "a b c", "I have no comment.", "42", "不知道", "&amp;", "the " * 300)
        )
    text = " ".join(draw.sample(known, draw.choice((1, 1, 1, 2, 3))))
    words = text.split(" ")
    change = draw.randrange(10)
    if change == 0:
        words = words[: draw.randint(1, len(words))]
    elif change == 1:
        words[draw.randrange(len(words))] = draw.choice(
            ("not", "3,000.5", "&quot;never&quot;", "well-\nknown", "10-20", "天")
        )
    elif change == 2:
        draw.shuffle(words)
    elif change == 3:
        words = words[draw.randrange(len(words)) :] + words
    text = " ".join(words)
    shape = draw.choice(
        (str, str, str, str.lower, str.upper, lambda t: t.replace(" ", "\n"), lambda t: t.replace(".", ""))
    )
    return (
        draw.choice(("", "", "", "\n", "Answer: "))
        + shape(text)
        + draw.choice(("", "", " ", "!", "\n\nQ: And?\nA: Yes.", " <skipped>"))
    )


def _code(row: Raw, draw: Draw) -> str:
    body, wrong = row["canonical_solution"], draw.choice(WRONG_BODIES)
    whole = row["prompt"] + body
    right = (body, body, whole, whole, body.rstrip(), body + draw.choice(AFTER), whole + draw.choice(AFTER))
    code = draw.choice((*right, wrong, row["prompt"] + wrong, body.strip(), draw.choice(BEFORE) + whole))
    return draw.choice(FENCES).replace("{}", code)


FENCES = (
    "{}", "{}", "{}", "```python\n{}```", "```\n{}\n```", "Here it is:\n```py\n{}\n```\nDone.", "```python \n{}```",
    "```python\n{}", "```python\r\n{}```", "```c++\n{}```", "~~~\n{}~~~", "```python\n{}```\n```python\nraise\n```",
    "```\nraise\n```\n```python\n{}```", "Sure!\n{}", "`{}`", "```{}```",
)  # fmt: skip
WRONG_BODIES = (
    "    pass\n", "    return None\n", "    return\n", "    raise SystemExit(0)\n", "    return input()\n",
    "\treturn 1\n", "  return 1\n", "    import sys; sys.exit(0)\n", "    exit()\n", "    return undefined\n",
    "    (\n", "    return '\n", "    import os\n    os._exit(0)\n", "    raise KeyboardInterrupt\n",
    "    assert False\n", "    return print('x' * 100000)\n", "    1/0\n", "    yield 1\n",
)  # fmt: skip
AFTER = (
    "\n", "\n\n\n", "# end", "\nprint('done')\n", "\nif __name__ == '__main__':\n    raise ValueError\n",
    "\nraise ValueError\n", "\n}\n", "\ndef check(candidate):\n    pass\n", "\nimport sys\nsys.exit(0)\n",
    "\n    return 0\n", "\n\nclass X:\n    y: int = 1\n", "\n<|endoftext|>", "\nassert True\n", "\nassert 1 == 2\n",
    "\nx = open(__file__)\n", "\n中文\n", "\n'unclosed\n", "\nprint(__name__)\n", "\ninput()\n",
)  # fmt: skip
BEFORE = (
    "", "import math\n", "    pass\n\n", "    return 1\n\n", "from __future__ import annotations\n", '"""text"""\n',
    "\n\n",
)  # fmt: skip


def _longbench(row: Raw, draw: Draw) -> str:
    """Cuttings of the references, of the classes and of other text, in every order."""
    reference = draw.choice(row["answers"])
    classes = row.get("all_classes") or []
    parts = _cut(reference, draw)
    extra = [
        *LEADS, *TAILS, *map(str, (draw.randint(0, 40),) * 3), "Paragraph 7", "段落7", "the", "An", "(a)", "# note",
        "// note", "`x`", *draw.sample(classes, min(4, len(classes))),
    ]  # fmt: skip
    for _ in range(draw.choice((0, 0, 0, 1, 2, 4))):
        parts.insert(draw.randint(0, len(parts)), draw.choice(extra))
    text = draw.choice(("", " ", " ", "\n", ". ")).join(parts) if draw.random() < 0.5 else "".join(parts)
    text = draw.choice((str, str, str, str.lower, str.upper))(text)
    return (
        draw.choice(("", "", "", "\n", "\n\n", " ", "Answer: ", "```\n", "# why\n", "Type: "))
        + text
        + draw.choice(("", "", "\n", "\nmore", "."))
    )


def _cut(text: str, draw: Draw) -> list[str]:
    """The text in pieces: whole, or some of its words or characters dropped, doubled or moved."""
    pieces = re.findall(r"\s+|[^\s\u3000-\u9fff]+|[\u3000-\u9fff]{1,4}", text)
    change = draw.randrange(8)
    if change < 2 or len(pieces) < 2:
        return [text]
    if change < 4:
        return [piece for piece in pieces if draw.random() < draw.choice((0.2, 0.8, 0.95))]
    if change == 4:
        return draw.sample(pieces, len(pieces))
    if change == 5:
        return pieces[draw.randrange(len(pieces)) :]
    if change == 6:
        return pieces[: draw.randint(1, len(pieces))]
    return pieces * draw.choice((2, 3, 9))


KINDS: dict[str, Callable[[Raw, Draw], str]] = {
    "commonsense_qa": _choice, "chid-": _idiom, "gsm8k": _number, "bbh-": _bbh, "truthful_qa": _truth,
    "openai_humaneval": _code, "LongBench_": _longbench,
}  # fmt: skip
