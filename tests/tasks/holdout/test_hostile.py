"""Whatever a folder holds, it is a hold-out or an error that the organiser can mend."""

import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.errors import InputError
from edgelm.tasks.holdout.load import holdout_tasks
from edgelm.tasks.holdout.schema import KINDS

KEYS = sorted({key for kind in KINDS.values() for key in kind.model_fields})
TEXTS = (
    st.sampled_from(["{q}", "{q} {answer}", "{choices}", "{A}", "q", "answer", "B", "3", "{", "\ud800", ""]) | st.text()
)
VALUES = st.recursive(
    TEXTS | st.integers() | st.floats() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6,
)  # fmt: skip
PACKS = st.builds(
    lambda kind, own: {"kind": kind, "prompt": "{q}"} | own,
    st.sampled_from([*KINDS, "other"]), st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3),
)  # fmt: skip
ROWS = st.builds(
    lambda own: {"q": "?", "answer": "A", "test": "", "choices": ["x", "y"]} | own,
    st.dictionaries(st.sampled_from(["q", "answer", "choices", "test", "topic"]), VALUES, max_size=3),
)  # fmt: skip


def _loads(files):
    """The samples of a folder with these files, or the error's mend."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        try:
            return [task.samples(data) for task, data in holdout_tasks(Path(folder))]
        except InputError as error:
            return error.mend


@settings(max_examples=150, deadline=None)
@given(pack=PACKS, rows=st.lists(ROWS, max_size=3))
def test_any_pack_with_any_rows(pack, rows):
    assert _loads({"x.json": json.dumps(pack).encode(), "x.jsonl": "\n".join(map(json.dumps, rows)).encode()})


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=60), name=st.sampled_from(["x.json", "x.toml", "x.py", "salt"]))
def test_any_bytes(content, name):
    whole = {"a.json": b'{"kind": "free", "prompt": "{q}"}', "a.jsonl": b'{"q": "?", "answer": "x"}'}
    if name != "x.py":  # a task file is run, so that any bytes would be
        assert _loads(whole | {name: content})
    assert _loads(whole | {"a.jsonl": content})
