from __future__ import annotations

from dataclasses import replace

import pytest

from edgelm.deploy.accepts import exports
from edgelm.shapes import Shape

LLAMA = Shape("llama", 32, 4096, 32, 8, 128, 14336, 128256, 8192, tied=False)
QWEN2 = Shape("qwen2", 28, 3584, 28, 4, 128, 18944, 152064, 32768, tied=False)
QWEN3 = Shape("qwen3", 36, 4096, 32, 8, 128, 12288, 151936, 40960, tied=False, qk_norm=True)
PHI = Shape("phi", 32, 2560, 32, 32, 80, 10240, 51200, 2048, tied=False)


@pytest.mark.parametrize(
    ("shape", "trimmed", "taken"),  # by the script, the runtime, MLC
    [
        (LLAMA, False, "yyy"),
        (replace(LLAMA, layers=24), False, "yyy"),
        (LLAMA, True, "nyy"),
        (replace(LLAMA, ffn=9216), False, "yyy"),
        (replace(LLAMA, width=3072), False, "yyy"),
        (replace(LLAMA, width=3000), False, "yyn"),
        (replace(LLAMA, vocab=49152), False, "nyy"),
        (replace(QWEN2, ffn=9472, kv_heads=2), False, "yyy"),
        (replace(QWEN2, width=3072, heads=24), False, "yyy"),
        (replace(QWEN2, width=3072), False, "nnn"),
        (replace(QWEN3, width=3072), False, "yyy"),
        (replace(QWEN3, width=3000), False, "yyy"),
        (PHI, False, "yyy"),
        (replace(PHI, ffn=8192), False, "nyy"),
        (replace(PHI, kv_heads=8), False, "nyy"),
        (replace(PHI, width=2240, heads=28, kv_heads=28, ffn=8960), False, "yyy"),
        (replace(PHI, width=2240), False, "nnn"),
        (replace(PHI, tied=True), False, "nyn"),
        (replace(LLAMA, attention_bias=True), False, "yyn"),
        (replace(LLAMA, tied=True), False, "yyy"),
    ],
)
def test_what_takes_a_shape(shape: Shape, trimmed: bool, taken: str) -> None:
    found = exports(shape, trimmed=trimmed)
    assert "".join("n" if why else "y" for why in (found.script, found.runtime, found.mlc)) == taken
    assert [answer[:1] for _, answer in found.rows()] == ["y", *taken]
