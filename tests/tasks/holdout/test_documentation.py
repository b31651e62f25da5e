"""The examples of docs/holdout.md are a sound hold-out."""

import re
from pathlib import Path

from edgelm.tasks.holdout.load import holdout_tasks
from edgelm.tasks.holdout.schema import KINDS

PAGE = (Path(__file__).parents[3] / "docs" / "holdout.md").read_text(encoding="utf-8")


def test_the_packs_of_the_page_and_their_rows_are_sound(holdout):
    blocks = re.findall(r"```toml\n# (\S+)\.toml\n(.*?)```\n\n```json\n(.*?)```", PAGE, re.DOTALL)
    task_file = re.search(r"```python\n# riddles\.py\n(.*?)```", PAGE, re.DOTALL)
    files = {f"{name}.toml": pack for name, pack, _ in blocks} | {f"{name}.jsonl": row for name, _, row in blocks}
    files |= {"riddles.py": task_file[1], "riddles/rows.txt": "What has keys?\tpiano"}
    tasks = {task.label: task.samples(data) for task, data in holdout_tasks(holdout(files))}
    assert set(tasks) == {"ethics", "sums", "double", "sense", "riddles"} and all(map(len, tasks.values()))
    assert tasks["ethics"][0].prompt.base_text().startswith("May a judge")


def test_every_key_of_every_kind_is_on_the_page():
    said = set(re.findall(r"`(\w+)`", PAGE[PAGE.index("| key |") : PAGE.index("### Choices")]))
    assert {key for kind in KINDS.values() for key in kind.model_fields} <= said
