import time

import torch

from edgelm.devices.rates import copy_rate, matrix_rate


def test_rates_are_those_of_a_computer_and_come_soon() -> None:
    start = time.perf_counter()
    copy, matrix = copy_rate(torch.device("cpu")), matrix_rate(torch.device("cpu"), torch.float32)
    assert time.perf_counter() - start < 5
    assert 1e8 < copy < 1e13
    assert 1e8 < matrix < 1e14
