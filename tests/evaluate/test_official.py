"""What counts as official: the suite's own name, the original scorer, every row."""

import pytest

from edgelm.evaluate.official import is_official, official


@pytest.mark.parametrize(("protocol", "expected"), [
    ("opencompass-0.3.1/gsm8k-1d7fe4", True), ("opencompass-0.3.1/gsm8k-1d7fe4+fixed-1", False),
    ("miniature-1/gsm8k-0a1b2c3d", False), ("opencompass-0.3.10/gsm8k-1d7fe4", False),
])  # fmt: skip
def test_the_protocols_name_decides(make_answers, make_score, protocol, expected):
    assert is_official(make_score(make_answers([1]), protocol=protocol)) is expected


def test_a_part_of_the_rows_gives_no_official_score(make_answers, make_score, make_report):
    whole = make_score(make_answers([1]))
    report = make_report({"gsm8k": whole, "chid": whole.model_copy(update={"of": 2})})
    assert official(report, "gsm8k") == whole
    assert official(report, "chid") is None and official(report, "bbh") is None
