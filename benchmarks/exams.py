"""What OpenCompass 0.3.1 makes of synthetic MMLU and C-Eval rows and answers: the golden hashes of the tests.

    python benchmarks/exams.py FOLDER      # run by the Python of an installed OpenCompass 0.3.1

writes synthetic rows of every subject into FOLDER, in the layout that OpenCompass reads, and prints for each benchmark
the number of rows, the sha256 of all base prompts (joined by NUL) and of the JSON of all chat messages, and the sha256
of the letters that it finds in made-up answers. The tests make the same rows and answers, and hold ours against these.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import random
import sys
from pathlib import Path

TRAPS = ("plain", "a {A} b {target} c", "{question} {input} {explanation} {id}", 'quoted "word", comma', "two\nlines",
         "守株待兔，{B}", " blanks around ", "")  # fmt: skip


def mmlu_rows(subject: str, split: str) -> list[list[str]]:
    """Rows of one subject in upstream's order: question, four choices, letter."""
    return [[*_cells(subject, split, n), "ABCD"[(n + len(subject)) % 4]] for n in range(5 if split == "dev" else 3)]


def ceval_rows(subject: str, split: str) -> list[list[str]]:
    """Rows of one subject under upstream's header; only the dev rows explain their answer."""
    header = ["id", "question", "A", "B", "C", "D", "answer"] + (["explanation"] if split == "dev" else [])
    rows = []
    for number in range(5 if split == "dev" else 3):
        row = [str(number), *_cells(subject, split, number), "ABCD"[(number + len(subject)) % 4]]
        rows.append(row + ([f"because {number}"] if split == "dev" else []))
    return [header, *rows]


def _cells(subject: str, split: str, number: int) -> list[str]:
    """A question and four choices; some of them hold what a template or a table reader might trip over."""
    trap = int(hashlib.sha256(f"{subject} {split} {number}".encode()).hexdigest(), 16)
    texts = [TRAPS[trap // 8**place % 8] for place in range(5)]
    return [f"{subject} {split} {number} {texts[0]}", *texts[1:]]


def as_csv(rows: list[list[str]]) -> bytes:
    """The rows as upstream's files hold them."""
    sink = io.StringIO(newline="")
    csv.writer(sink, lineterminator="\n").writerows(rows)
    return sink.getvalue().encode()


PIECES = (
    "A", "B", "C", "D", "E", "a", "b", "Ｂ", "A.", "(B)", "C:", "D,", "AB", "答案", "答案是", "答案为", "答案选项",
    "应该是", "应该选", "选", "选择", "故选", "故", "即", "只有", "只有选项", "选项", "对", "错", "错误", "不正确",
    "正确", "说法", "说法不对的是", "说法不正确选项是", "说法错误的是", "是正确的", "是正确答案", "所以", "所以答",
    "所有", "因此", "显然", "是", "为", "故选A只有B对",
    "。", "，", "：", ":", ".", ",", "$", " ", " ", "\n", "\t", "1.", "1", "1 ", "The answer is",
    "the answer is:", "The answer is option ", "The correct answer is", "the correct answer is option",
    "The correct option is", "\\boxed{C}", "boxed{D}", "The correct answer option is", "The answer to the question is",
    "An apple", "Because", "É", "我", "②", "",
)  # fmt: skip


def answers(number: int = 20_000) -> list[str]:
    """Made-up answers out of the phrases that the extraction looks for, in any order."""
    draw = random.Random("answers")
    return ["".join(draw.choices(PIECES, k=draw.randint(0, 7))) for _ in range(number)]


def _letters_sha256(letters: list[str]) -> str:
    return hashlib.sha256("\0".join(letters).encode()).hexdigest()


def _write(folder: Path, subjects: dict[str, list[str]]) -> None:
    for name, place, rows, splits in (("mmlu", "mmlu", mmlu_rows, ("dev", "test")),
                                      ("ceval", "ceval/formal_ceval", ceval_rows, ("dev", "val", "test"))):  # fmt: skip
        for split in splits:
            target = folder / "data" / place / split
            target.mkdir(parents=True, exist_ok=True)
            for subject in subjects[name]:
                (target / f"{subject}_{split}.csv").write_bytes(as_csv(rows(subject, split)))


def _prompts(config: dict) -> list[tuple[str, list[dict[str, str]]]]:  # type: ignore[type-arg]
    """Each row of one data set as OpenCompass gives it to a base model, and to a chat model."""
    from opencompass.models.base import LMTemplateParser
    from opencompass.models.huggingface_above_v4_33 import _convert_chat_messages, _get_meta_template
    from opencompass.registry import ICL_PROMPT_TEMPLATES, ICL_RETRIEVERS
    from opencompass.utils import build_dataset_from_cfg

    asked = config["infer_cfg"]
    retriever = ICL_RETRIEVERS.build({**asked["retriever"], "dataset": build_dataset_from_cfg(config)})
    templates = {name: ICL_PROMPT_TEMPLATES.build(asked[name]) for name in ("ice_template", "prompt_template")
                 if name in asked}  # fmt: skip
    base, chat = LMTemplateParser(), _get_meta_template(None)
    prompts = []
    for index, shots in enumerate(retriever.retrieve()):
        ice = retriever.generate_ice(shots, ice_template=templates["ice_template"])
        prompt = retriever.generate_prompt_for_generate_task(index, ice, **templates)
        messages = _convert_chat_messages([chat.parse_template(prompt, "gen")])[0]
        prompts.append((base.parse_template(prompt, "gen"), messages))
    return prompts


def main(folder: Path) -> None:
    """Write the rows, have them rendered, print the hashes."""
    from mmengine.config import Config
    from opencompass import configs

    os.chdir(folder)
    places = {"mmlu": "mmlu/mmlu_gen_4d595a.py", "ceval": "ceval/ceval_gen_5f30c7.py"}
    root = Path(next(iter(configs.__path__))) / "datasets"
    sets = {name: Config.fromfile(root / place)[f"{name}_datasets"] for name, place in places.items()}
    _write(folder, {name: [config["name"] for config in found] for name, found in sets.items()})
    golden = {}
    for name, found in sets.items():
        rendered = [prompt for config in found for prompt in _prompts(config)]
        golden[name] = {
            "rows": len(rendered),
            "base_prompts_sha256": hashlib.sha256("\0".join(base for base, _ in rendered).encode()).hexdigest(),
            "chat_messages_sha256": hashlib.sha256(
                json.dumps([messages for _, messages in rendered], ensure_ascii=False).encode()
            ).hexdigest(),
        }
        (folder / f"{name}.json").write_text(json.dumps(rendered, ensure_ascii=False, indent=1))
    from opencompass.utils.text_postprocessors import first_capital_postprocess, first_option_postprocess

    golden["mmlu"]["letters_sha256"] = _letters_sha256([first_option_postprocess(text, "ABCD") for text in answers()])
    golden["ceval"]["letters_sha256"] = _letters_sha256([first_capital_postprocess(text) for text in answers()])
    print(json.dumps(golden, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
