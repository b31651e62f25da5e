"""C-Eval: without a pinned digest it says exactly what to place where."""

import json

import pytest

from edgelm.data.folder import DataFolder
from edgelm.errors import MissingInput
from edgelm.tasks.ceval import CEval


def test_without_a_folder_of_its_own_the_mend_says_what_to_write(tmp_path):
    with pytest.raises(MissingInput) as caught:
        CEval().samples(DataFolder(tmp_path, offline=True))
    mend = caught.value.mend
    suite = json.loads(mend[mend.index("{") : mend.rindex("}") + 1])
    assert suite["files"].keys() == {CEval().archive} and "ceval/ceval-exam" in mend and "--data" in mend
