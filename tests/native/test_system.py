"""What the runner asks of the system: the cores worth using and the time it has, told from files such as Linux has."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import pytest

GGML = "typedef void (*abort_callback)(const char *);\ninline void ggml_set_abort_callback(abort_callback) {}\n"
PROGRAM = """\
#include "system.hpp"
int main(int count, char ** words) {
    if (std::string(words[1]) == "quota") {
        std::printf("%d", host::within_quota(std::atoi(words[2]), words[3], words[4]));
        return 0;
    }
    std::vector<int> processors;
    for (int at = 2; at < count; at++) processors.push_back(std::atoi(words[at]));
    std::printf("%d", host::fitting_cores(processors, words[1]));
}
"""
Cores = Sequence[tuple[int, int]]  # capacity and highest frequency of each; 0: no file says it
SMALL, MIDDLE, LARGE = (270, 2016000), (870, 2803200), (1024, 3187200)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prints the number of fitting cores among the processors it is given, behind the folder that tells of them.

    Behind `quota`, a number of threads, a control group and the folder of all of them: how many there is time for.
    """
    compiler = shutil.which("c++")
    if not compiler:
        pytest.skip("there is no C++ compiler: apt-get install g++")
    folder = tmp_path_factory.mktemp("program")
    (folder / "ggml.h").write_text(GGML)
    (folder / "main.cpp").write_text(PROGRAM)
    subprocess.run([compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{folder}",
                    f"-I{files('edgelm.native')}", folder / "main.cpp", "-o", folder / "program"],
                   check=True, timeout=120)  # fmt: skip
    return folder / "program"


def fitting(program: Path, folder: Path, cores: Cores, names: Sequence[int] | None = None) -> int:
    """How many of these cores fit; `names` are their numbers within their package, else none is told."""
    for at, values in enumerate(cores):
        told = dict(zip(("cpu_capacity", "cpufreq/cpuinfo_max_freq"), values, strict=True))
        told |= {"topology/core_id": names[at], "topology/physical_package_id": 0} if names else {}
        for name, value in told.items():
            path = folder / f"cpu{at}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if value or name.startswith("topology"):
                path.write_text(f"{value}\n")
    words = [str(program), str(folder), *(str(at) for at in range(len(cores)))]
    return int(subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout)


@pytest.mark.parametrize(
    ("cores", "count"),
    [
        ([SMALL] * 3 + [MIDDLE] * 4 + [LARGE], 5),  # of small ones the frequency alone would say that they fit
        ([LARGE] * 2 + [SMALL] * 6, 2),
        ([SMALL] * 4, 4),
        ([(0, 1400000)] * 4 + [(0, 3000000)] * 4, 4),
        ([(0, 2016000)] + [LARGE] * 3, 4),  # where one capacity is unknown, frequencies are compared
        ([(0, 0)] * 3, 3),
        ([], 1),
    ],
)
def test_cores_weaker_than_half_of_the_strongest_are_left_out(
    program: Path, tmp_path: Path, cores: Cores, count: int
) -> None:
    assert fitting(program, tmp_path, cores) == count


def test_two_processors_of_one_core_count_once(program: Path, tmp_path: Path) -> None:
    assert fitting(program, tmp_path, [(0, 3000000)] * 4, names=[0, 1, 0, 1]) == 2


def test_clusters_that_number_their_cores_anew_are_told_apart(program: Path, tmp_path: Path) -> None:
    assert fitting(program, tmp_path, [MIDDLE, MIDDLE, LARGE, LARGE], names=[0, 1, 0, 1]) == 4


@pytest.mark.parametrize(("limits", "group", "count"), [
    ({}, "/a/b", 8),
    ({"": "max 100000"}, "", 8),
    ({"": "200000 100000"}, "/", 2),  # as a container sees its own group
    ({"a": "350000 100000", "a/b": "max 100000"}, "/a/b", 3),  # one above limits those below it
    ({"a": "900000 100000", "a/b": "50000 100000"}, "/a/b", 1),
    ({"a/b": "100000 100000"}, "/a", 8),
    ({"a": "1600000 100000"}, "/a", 8),
])  # fmt: skip
def test_no_more_threads_than_the_control_group_has_time_for(
    program: Path, tmp_path: Path, limits: dict[str, str], group: str, count: int
) -> None:
    for name, text in limits.items():
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "cpu.max").write_text(f"{text}\n")
    words = [str(program), "quota", "8", group, str(tmp_path)]
    assert int(subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout) == count
