"""MMLU: its archive is pinned."""

from edgelm.data.sources import source
from edgelm.tasks.mmlu import MMLU


def test_the_archive_is_upstreams():
    assert source(MMLU().archive).sha256 == "bec563ba4bac1d6aaf04141cd7d1605d7a5ca833e38f994051e818489592989b"
    assert source(MMLU().archive).rows == 14_042
