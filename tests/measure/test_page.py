from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from edgelm.measure.charts import charts
from edgelm.measure.page import METERS, cautions, page, rows
from edgelm.report import Report, Speed, Workload

ROOFLINE = {
    "copy_bytes_per_second": 1e10, "matrix_operations_per_second": 1e11, "bytes_per_decoded_token": 5e7,
    "prefill_operations": 1e11, "decode_operations": 5e7, "prefill_bytes": 5e7, "decode_share_of_copy_rate": 0.4,
    "prefill_share_of_matrix_rate": 0.55,
}  # fmt: skip
ESTIMATE = {
    "title": "A <phone>", "basis": "estimate", "decode": 5.0, "prefill": 50.0, "first_token_seconds": 30.0,
    "seconds": 130.0, "throughput": 15.0, "memory": 8 * 10**9, "usable": 9 * 10**9, "fits": True, "source": "a & b",
}  # fmt: skip


def speed(**changed: Any) -> Speed:
    waits = [[(10**8 + 10**7 * number, 10**7 + number) for number in range(40)] for _ in range(3)]
    return Speed.model_validate({
        "workload": Workload(prompt_tokens=100, generated_tokens=41, repeats=3), "device": "local:cpu",
        "repeats_ns": [5 * 10**8] * 3, "first_token_ns": [10**8] * 3, "prefill": 1000.0, "decode": 100.0,
        "spread": 0.01,
        "inter_token_median_ns": 10**7, "inter_token_p95_ns": 2 * 10**7, "noisy": False, "waits": waits,
        "memory_over_time": [(10**7 * at, 10**8 + at) for at in range(50)], "roofline": ROOFLINE, "notes": [],
        "conditions": {"load_average_1min": 0.2, "cores_allowed": 2, "memory_available_bytes": 2**30, "threads": 2},
        "kit-2024": {"inferences_per_second": 0.5, "unsynchronised": 0.5, "tokens": 2000, "logits": "of all positions"},
    } | changed)  # fmt: skip


def report(**changed: Any) -> Report:
    return Report.model_validate({
        "checkpoint": "a" * 64, "name": "mo<del", "parameters": 12_345_678, "bytes": 24_691_356,
        "dtypes": {"F16": 12_345_678}, "speed": speed(), "memory": {"host-peak": 2 * 10**8, "host-pss": 10**8},
        "predicted": {"weights": 10**8, "kv": 10**7, "buffers": 10**7, "runtime": 9 * 10**7, "total": 21 * 10**7},
        "machine": {"cpu": "A processor", "memory_bytes": 2**34}, "made_by": "edgelm",
        "prediction": {"meter": "host-peak", "predicted": 21 * 10**7, "measured": 2 * 10**8, "error_percent": 5.0},
        "estimates": {"phone-a": ESTIMATE, "phone-b": ESTIMATE | {"fits": False, "memory": 10**10}},
    } | changed)  # fmt: skip


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("meta", "br", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        pass

    def handle_data(self, data: str) -> None:
        self.text += data


def text_of(html: str) -> str:
    tags = Tags()
    tags.feed(html)
    assert not tags.open
    return re.sub(r"\s+", " ", tags.text)


def test_all_figures_stand_on_the_page_and_nothing_comes_from_elsewhere() -> None:
    html = page(report())
    text = text_of(html)
    for said in (
        "mo<del", "12 345 678", "100 tokens/s", "40 % of the copy bandwidth", "55 % of the matrix rate", "kit-2024",
        "prediction +5.0 %", "A <phone>", "fits", "does not fit", "A processor", "16 GiB", "a & b",
        "Latency per token", "Roofline", "1 GiB",
    ):  # fmt: skip
        assert said in text, said
    assert not re.search(r"https?:|<script|<link|<img|@import|url\(", html)
    assert html == page(report())


def test_every_meter_is_explained() -> None:
    memory = dict.fromkeys(METERS, 10**8)
    text = text_of(page(report(memory=memory)))
    assert all(meter in text and words in text for meter, words in METERS.items())


def test_a_report_with_the_least_that_there_can_be_has_a_page() -> None:
    bare = Report(checkpoint="a", name="m", parameters=1, bytes=1, dtypes={})
    assert "Conditions" in text_of(page(bare))
    work = Workload(prompt_tokens=1, generated_tokens=2)
    plain = Speed(workload=work, device="d", repeats_ns=[1], first_token_ns=[1], prefill=1.0, decode=1.0, spread=0.0)
    assert charts(bare.model_copy(update={"speed": plain})) == []
    assert "1.00 tokens/s" in text_of(page(bare.model_copy(update={"speed": plain})))


@pytest.mark.parametrize(("changed", "said"), [
    ({"noisy": True, "spread": 0.3}, "took 30 % of the median longer"),
    ({"repeats_ns": [5 * 10**8]}, "2 of 3 repeats were not valid"),
    ({"conditions": {"load_average_1min": 3.1, "cores_allowed": 2}}, "a load of 3.1 on 2 cores"),
    ({"conditions": {"governor": "powersave"}}, "governor was powersave"),
    ({"conditions": {"governor": "powersave+schedutil"}}, "governor was powersave+schedutil"),
    ({"notes": ["computed in float32"]}, "computed in float32"),
])  # fmt: skip
def test_what_speaks_against_the_figures_is_said(changed: dict[str, Any], said: str) -> None:
    assert not list(cautions(speed()))
    assert any(said in line for line in cautions(speed(**changed)))


def test_the_kits_own_clock_is_shown_where_it_is_wrong() -> None:
    names = [name for name, _, _ in rows(speed())]
    assert "kit-2024" in names
    assert "kit-2024, its own clock" not in names
    wrong = {"inferences_per_second": 10.0, "unsynchronised": 80.0, "tokens": 2000, "logits": "of all positions"}
    found = {name: value for name, value, _ in rows(speed(**{"kit-2024": wrong}))}
    assert found["kit-2024, its own clock"] == "80 inferences/s"


def test_the_bar_of_the_prediction_holds_what_makes_up_its_total() -> None:
    widened = {"weights": 100, "kv": 10, "activations": 10, "loading": 50, "runtime": 40, "total": 190}
    text = text_of(page(report(predicted=widened, memory={"host-peak": 200})))
    assert "File, while it is widened 50 B" in text
    assert "Keys and values" not in text
    grown = widened | {"loading": 15, "total": 160}
    text = text_of(page(report(predicted=grown, memory={"host-peak": 200})))
    assert "Keys and values 10 B" in text
    assert "File, while" not in text
