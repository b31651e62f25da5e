"""Storage dtypes: what is a spared buffer, at the cost of one look at each tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgelm.check.run import check
from edgelm.headers import Tensor
from edgelm.rules import Rules


@pytest.mark.parametrize(("kind", "said"), [("F16", ""), ("F32", ""), ("Q8_0", "Q8_0"), ("TQ1_0", "type 34")])
def test_a_bundle_is_judged_by_what_its_file_holds(package: Any, rules: Rules, kind: str, said: str) -> None:
    import gguf

    path = package.model / "bundle/model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)  # whatever it says
    writer.add_token_list(["a", "b"])
    values = gguf.quants.quantize(np.ones((4, 256), np.float32), gguf.GGMLQuantizationType[kind])
    writer.add_tensor("token_embd.weight", values, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    package.relist()
    found = [(one.code, one.what) for one in check(package.path, rules)]
    assert [code for code, _ in found] == ["QNT-03"] * bool(said) and all(said in what for _, what in found)


def test_tensors_are_not_compared_with_each_other(package: Any, rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bool:
        raise AssertionError("a hundred thousand tensors would take hours")

    def add_buffers(tensors: dict[str, Any]) -> None:
        import torch

        tensors.update({f"model.layers.{layer}.attn.position_ids": torch.arange(4) for layer in range(3)})

    package.edit_tensors(add_buffers)
    monkeypatch.setattr(Tensor, "__eq__", refuse)
    (found,) = [finding for finding in check(package.path, rules) if finding.code.startswith("DTY")]
    assert (found.code, found.what[:16]) == ("DTY-05", "3 tensors of I64")
