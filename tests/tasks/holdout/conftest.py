"""A hold-out folder from a few files."""

import json

import pytest

CHOICE = {
    "kind": "choice", "prompt": "{question}\n{choices}\nAnswer:", "max_tokens": 4, "subset": "topic",
    "exemplars": [{"user": "1+1?\nA. 2\nB. 3\nAnswer:", "assistant": "A"}],
}  # fmt: skip


@pytest.fixture
def holdout(tmp_path):
    """`holdout({"x.json": {…}, "x.jsonl": [{…}, …], "y.py": "…"})`: a folder with these files."""

    def make(files):
        folder = tmp_path / "secret"
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(_bytes(name, content))
        return folder

    return make


def _bytes(name, content):
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    if name.endswith(".jsonl"):
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content).encode()
    return json.dumps(content).encode()


@pytest.fixture
def choice():
    """A pack of the kind choice."""
    return dict(CHOICE)


@pytest.fixture
def ethics():
    """Rows for it."""
    return [{"question": f"Question {n}?", "choices": [f"yes {n}", f"no {n}", "maybe"], "answer": "ABC"[n % 3],
             "topic": "even" if n % 2 == 0 else "odd"} for n in range(6)]  # fmt: skip
