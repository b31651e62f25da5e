"""Tasks are shown as the competition lists them."""

from edgelm.evaluate.order import in_order


def test_variants_follow_their_benchmark_and_others_come_last():
    tasks = ["truthfulqa", "zebra", "chid-dev", "chid", "bbh", "gsm8k-fixed", "gsm8k", "commonsenseqa", "arc"]
    assert in_order(tasks) == [
        "commonsenseqa", "bbh", "gsm8k", "gsm8k-fixed", "truthfulqa", "chid", "chid-dev", "arc", "zebra",
    ]  # fmt: skip
