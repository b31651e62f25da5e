import json
from collections.abc import Callable

import pytest

from edgelm.devices import host


def test_machine_and_conditions_are_plain_values_with_their_units() -> None:
    facts = host.machine()
    assert facts["cores"] >= 1
    assert facts["memory_bytes"] > 2**28
    assert facts["torch"] and facts["transformers"]
    found = host.conditions()
    assert found["memory_available_bytes"] <= facts["memory_bytes"]
    assert None not in found.values()
    json.dumps([facts, found], allow_nan=False)


def flags(text: str) -> Callable[[], dict[str, str]]:
    return lambda: {"flags": text}


def test_native_arithmetic_is_read_from_the_processors_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.sys, "platform", "linux")
    monkeypatch.setattr(host, "_cpu_fields", flags("sse2 f16c avx512_bf16"))  # f16c converts, it does not compute
    assert host.computes_natively("bfloat16")
    assert not host.computes_natively("float16")
    monkeypatch.setattr(host, "_cpu_fields", lambda: {"Features": "fp asimd fphp asimdhp"})
    assert host.computes_natively("float16")
    assert not host.computes_natively("bfloat16")


def test_the_least_limit_of_the_control_groups_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/proc/self/cgroup": "1:memory:/old\n0::/a/b", "/sys/fs/cgroup/a/b/memory.max": "max",
        "/sys/fs/cgroup/a/memory.max": "5000", "/sys/fs/cgroup/memory.max": "9000",
    }  # fmt: skip
    monkeypatch.setattr(host, "_read", lambda path: files.get(str(path)))
    assert host.conditions()["memory_limit_bytes"] == 5000
    files["/sys/fs/cgroup/a/memory.max"] = "max"
    assert host.conditions()["memory_limit_bytes"] == 9000
    del files["/sys/fs/cgroup/memory.max"]
    assert "memory_limit_bytes" not in host.conditions()
