from __future__ import annotations

from pathlib import Path

from edgelm.compress.fallback import built_in, find_texts
from edgelm.data.folder import DataFolder


def test_files_before_folder_before_built_in(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Mine.")
    (tmp_path / "c4").mkdir()
    (tmp_path / "c4" / "rows.jsonl").write_text('{"text": "Row."}')
    (tmp_path / "empty").mkdir()
    data = DataFolder(tmp_path)
    assert [text.name for text in find_texts([tmp_path / "mine.txt"], data)] == ["mine.txt"]
    assert [text.name for text in find_texts([], data)] == ["c4"]
    assert find_texts([], DataFolder(tmp_path / "empty")) == [built_in()]


def test_the_built_in_text_is_some_documents_of_our_own() -> None:
    assert len(built_in().documents) > 10
    assert built_in().licence == "Apache-2.0"
