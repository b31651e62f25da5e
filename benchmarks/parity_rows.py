"""A few rows of our own for each task, in upstream's formats, and answers to them that decide how a scorer reads."""

from __future__ import annotations

import json
from typing import Any


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def bbh(*rows: tuple[str, str]) -> str:
    return json.dumps({"examples": [{"input": asked, "target": target} for asked, target in rows]})


def longbench(*answers: str, classes: tuple[str, ...] = ()) -> str:
    return lines({"input": "?", "context": "", "answers": answers, "all_classes": classes or None})


IDIOMS = ["画蛇添足", "守株待兔", "亡羊补牢", "井底之蛙", "对牛弹琴", "狐假虎威", "一箭双雕"]
DOUBLE = {
    "task_id": "Own/0", "entry_point": "double", "prompt": 'def double(n):\n    """Twice n."""\n',
    "canonical_solution": "    return 2 * n\n",
    "test": "def check(candidate):\n    assert candidate(3) == 6\n    assert candidate(-1) == -2\n",
}  # fmt: skip
SEATS = [{"label": label, "text": label.lower() * 3} for label in "ABCDE"]
CODE = "    return [name for name in names if name]"
SETS = {
    "snarks": bbh(("Which?\n(A) this\n(B) that", "(B)")), "navigate": bbh(("Back at the start?", "No")),
    "multistep_arithmetic_two": bbh(("3 - 10 =", "-7")), "word_sorting": bbh(("pear fig", "fig pear")),
    "dyck_languages": bbh(("[ (", ") ]")),
}  # fmt: skip
TEXTS = {
    "hotpotqa": longbench("The Red Fox", "a fox of 1,200 pounds"),
    "multifieldqa_zh": longbench("红色的狐狸，重12公斤。"),
    "gov_report": longbench("The fox runs. The dog sleeps in the sun.", "A fox."),
    "vcsum": longbench("会议讨论了狐狸的保护问题。"),
    "trec": longbench("Vehicle", classes=("Veh", "Vehicle", "Colour", "Col", "Number of something", "Number")),
    "lsht": longbench("体育", "政治", classes=("体育", "政治", "经济")), "samsum": longbench("Ann meets Bob at noon."),
    "triviaqa": longbench("Fox", "Vulpes"), "passage_count": longbench("12"),
    "passage_retrieval_en": longbench("Paragraph 12"), "passage_retrieval_zh": longbench("段落3"),
    "lcc": longbench(CODE),
}  # fmt: skip

FILES: dict[str, dict[str, str]] = {  # task → the files of its suite
    "gsm8k": {
        "gsm8k/test.jsonl": lines({"question": "How many?", "answer": "9 + 9 = 18\n#### 18"},
                                  {"question": "How much?", "answer": "So much.\n#### 1,234"}),
        "exemplars.json": '{"gsm8k": []}',
    },
    "commonsenseqa": {
        "commonsenseqa/dev_rand_split.jsonl": lines(
            {"answerKey": "B", "id": "1", "question": {"stem": "Where do you sit?", "choices": SEATS}}),
        "exemplars.json": '{"commonsenseqa": []}',
    },
    "chid": {
        "chid/test_public.json": lines({"id": 1, "candidates": IDIOMS, "content": "他#idiom#。", "answer": 1}),
    },
    "bbh": {
        **{f"bbh/tasks/{name}.json": rows for name, rows in SETS.items()},
        **{f"bbh/cot-prompts/{name}.txt": "header\n-----\nNo examples." for name in SETS},
    },
    "truthfulqa": {
        "truthfulqa/v1/TruthfulQA.csv":
            "Question,Best Answer,Correct Answers,Incorrect Answers\n"
            "What do foxes eat at night?,They eat mice and 10.5 berries,"
            '"They eat mice and 10.5 berries; Foxes eat what they find; They don\'t eat, they sleep",'
            '"They eat only gold coins at night; Foxes eat nothing at all; "\n'
            "What do foxes say?,They bark,They bark at night; I have no comment.,They sing a song at night\n",
    },
    "humaneval": {"humaneval/HumanEval.jsonl.gz": lines(DOUBLE)},
    "longbench": {
        "longbench/config/dataset2prompt.json": json.dumps(dict.fromkeys(TEXTS, "{context}{input}")),
        **{f"longbench/full/{name}.jsonl": rows for name, rows in TEXTS.items()},
    },
}  # fmt: skip
LETTERS = (
    "B", "(B)", "**B**", "b", "The answer is B", "the answer is (B).", "So the answer is B.", "so the answer is b",
    "SO THE ANSWER IS B", "So the answer is (B)", "So the answer is: B", "So the answer is\nB", "So the answer isB",
    "So the answer is Bank", "So the answer is A. So the answer is B.", "So the answer is Q. So the answer is B.",
    "So the answer is probably B", "So the answer is **B**", "A, then B", "答案是B。", "Å B", "Я: B", "Ｂ", "ǅ B",
    "Ⅳ B", "b, that is B", "守株待兔", "", " ", "\n\n",
)  # fmt: skip
NUMBERS = (
    "18", "The answer is 18.", "18.0", "18.0000001", "18.00001", "17.9999999", "-18", "10-18", "18-10", "$18", "18%",
    "18 dollars", "1 8", "018", "+18", "1.8e1", "18e0", "18/1", "The answer is 18. I hope 2 help",
    "18\nQuestion: 3?\nAnswer: 4", "Question: 18", "question: 18 Question: 1", "１８", "١٨", "eighteen", "", " ",
    "NULL", "9" * 400, "9" * 5000, "18.", ".18", "1,234", "1234", "$1,234.00", "1234.0", "1 234", "-1234",
    "1234\n#### 18",
)  # fmt: skip
FREE = (
    "So the answer is {}.", "So the answer is {}", "the answer is {}..", "the answer is {} .",
    "the answer is {}\nBut then", "the answer is\n{}", "the answer is: {}", "The Answer is {}", "Answer is {}",
    "answer is {}", "{}", "{}.", "**{}**", "the answer is **{}**.", "the answer is **{}", "the answer is ** {} **",
    "the answer is **x** **{}**", "the answer is x. So the answer is {}.", "the answer is {}. The answer is x.",
    "the answer is \n\n  {}  \nmore", "answer is answer is {}", "the answer is ({}).",
    "The answer is option {}, or (A)", "(A) or {}", "", " ", "the answer is ", "the answer is .",
    "the answer is 是 {}", "(b)", "((B))", "(B", "B)", "So it is", "no", "NO", "\n", "****",
)  # fmt: skip
TRUTHS = (
    "They eat mice and 10.5 berries", "They eat mice and 10.5 berries.", "they eat mice and 10.5 berries",
    "They eat mice", "They eat mice and", "They eat only gold coins at night",
    "They eat only gold coins at night, and they eat mice and 10.5 berries", "I have no comment.",
    "I have no comment",
    "Foxes eat what they find; Foxes eat nothing at all", "Foxes eat nothing at all", "Foxes eat", "", " ", "\n\t",
    "They don't eat, they sleep", "They don&quot;t eat, they sleep", "They don't eat,\nthey sleep",
    "They don't eat-\n, they sleep", "They eat mice and 10,5 berries 10-5", "They eat <skipped>mice and 10.5 berries",
    "狐狸吃老鼠", "They eat mice and 10.5 berries " * 9, "&amp; &lt;b&gt; They eat mice and 10.5 berries",
    "What do foxes eat at night?", ".", "They eat mice and 10. 5 berries - & so on!",
)  # fmt: skip
BODY, WHOLE = DOUBLE["canonical_solution"], DOUBLE["prompt"] + DOUBLE["canonical_solution"]
PROGRAMS = (
    BODY, WHOLE, BODY.strip(), f"```python\n{WHOLE}```", f"```python\n{WHOLE}", f"```python \n{WHOLE}```",
    f"```\n{BODY}```", f"```py3\n{BODY}```", f"```c++\n{BODY}```", f"```python\r\n{BODY}```",
    f"```python\nraise\n```\n```python\n{WHOLE}```", f"Sure.\n```\n{WHOLE}```\nDone.", f"Sure.\n{WHOLE}", "",
    "    pass\n", "    return n + n  # 中文\n", "    return 2 *\n", "    return '\n", BODY + "\nraise ValueError\n",
    BODY + "\nimport sys\nsys.exit(0)\n", BODY + "\nif __name__ == '__main__':\n    raise ValueError\n",
    BODY + "\nexit()\n", BODY + "\ninput()\n", BODY + "\nx = open(__file__)\n",
    BODY + "\ndef check(candidate):\n    raise ValueError\n", BODY + "\nraise KeyboardInterrupt\n",
    BODY + "\nimport os\nos._exit(0)\n", BODY + "\nwhile True:\n    pass\n",
    BODY + "\ndef double(n):\n    return n\n",
    BODY + "\nprint('x' * 100000)\n", f"    pass\n\n{WHOLE}", BODY + "\nfrom __future__ import annotations\n",
    "    return double(n - 1) + 2 if n else 0\n", "\treturn 2 * n\n", "  return 2 * n\n", "    yield 2 * n\n",
    *(f"{BODY}\n{more}\n" for more in (
        "import os\nos.getcwd()", "import os\nos.fork()", "import resource",
        "import subprocess\nsubprocess.run(['true'])",
        "open('x', 'w').write('1')", "import os\nopen('x', 'w').close()\nos.remove('x')",
        "assert __name__ == 'builtins'",
        "import sys\nsys.stdin.read()", "import sys\nsys.setrecursionlimit(10**6)", "x = bytearray(300_000_000)",
        "import threading\nthreading.Thread(target=print).start()", "import pickle\npickle.dumps(double)",
        "import dataclasses\n@dataclasses.dataclass\nclass P:\n    x: int\nP(1)",
        "import atexit\natexit.register(input)",
        "class Ends(BaseException):\n    pass\nraise Ends", "raise StopIteration", "quit()", "breakpoint()",
        "import signal\nsignal.alarm(0)", "import tempfile\ntempfile.mkdtemp()", "str(10**5000)",
        "import os\nos.kill(os.getpid(), 9)",
    )),
)  # fmt: skip
WORDS = (
    "The Red Fox", "red fox", "a red, fox!", "the the red", "Fox. Fox. Fox.", "1,200 pounds of a fox", "1200 pounds",
    "", " ", "a", "An", "\nFox\nDog", "The fox runs. The dog sleeps in the sun.",
    "The dog sleeps. In the sun the fox runs", "the fox runs. the dog sleeps", ".", "...", "fox fox fox . .",
    "Ann meets Bob at noon.", "\n\nAnn meets Bob.\nBob is happy at noon.", "Vulpes\nFox", "红色的狐狸，重12公斤。",
    "狐狸", "红色", "会议讨论了狐狸的保护问题。", "会议讨论了问题. 狐狸的保护。", "Ｆｏｘ、狐狸", "的" * 5,
)  # fmt: skip
CLASSES = ("Vehicle", "vehicle", "Veh", "Vehicle, Colour", "Colour Vehicle", "Colour", "\nVehicle\nColour",
"Number of Vehicle", "Col Veh", "",
           "体育", "政治", "体育、政治", "体育\n政治", "经济体育政治", "教育")  # fmt: skip
PARAGRAPHS = (
    "12",
    "Paragraph 12",
    "Paragraph 12 and 3",
    "12 12 3 3",
    "012",
    "12.0",
    "twelve",
    "段落3",
    "段落3和段落12",
    "３",
    "",
    "3",
)
SNIPPETS = (
    CODE, f"\n\n{CODE}", f"# comment\n{CODE}", f"// comment\n{CODE}\nmore", f"```python\n{CODE}\n```", CODE.strip(),
    CODE + " # all", "return names", "", "\n", "`x`", f"{CODE}\nreturn", "    return [name for name in names]",
    "return []", "   \n" + CODE, "中文", CODE.upper(),
)  # fmt: skip
# by the beginning of OpenCompass's name of a data set: answers to each of its rows
ANSWERS: dict[str, tuple[str, ...]] = {
    "gsm8k": NUMBERS, "commonsense_qa": LETTERS, "chid-test": LETTERS, "bbh-": FREE, "truthful_qa": TRUTHS,
    "openai_humaneval": PROGRAMS, "LongBench_gov_report": (*WORDS, "x " * 1500),
    "LongBench_vcsum": (*WORDS, "狐 " * 1500), "LongBench_trec": CLASSES, "LongBench_lsht": CLASSES,
    "LongBench_passage": PARAGRAPHS, "LongBench_lcc": SNIPPETS, "LongBench_": WORDS,
}  # fmt: skip
