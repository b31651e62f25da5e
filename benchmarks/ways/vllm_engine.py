"""One way: vLLM itself. `python vllm_engine.py FOLDER generate|weigh ROWS RESULT`, with its own Python."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # all of its work is counted as this process's

from vllm import LLM, SamplingParams

folder, job, rows_at_once, result = Path(sys.argv[1]), *sys.argv[2:5]
name = "questions" if job == "generate" else "choices"
rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
model = LLM(str(folder / "model"), dtype="float32", max_num_seqs=int(rows_at_once), enable_prefix_caching=True,
            gpu_memory_utilization=0.25)  # fmt: skip


def used() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


if job == "generate":
    prompts = [row["prompt"] for row in rows]
    how = SamplingParams(temperature=0, max_tokens=rows[0]["max_tokens"])
else:
    prompts = [row["context"] + row["continuation"] for row in rows]
    how = SamplingParams(
        temperature=0, max_tokens=1, prompt_logprobs=0, detokenize=False, skip_reading_prefix_cache=False
    )
cpu, wall = used(), time.perf_counter()
outputs = model.generate(prompts[:1], how, use_tqdm=False) + model.generate(prompts[1:], how, use_tqdm=False)
seconds = {"cpu": used() - cpu, "wall": time.perf_counter() - wall}
if job == "generate":
    answers = [output.outputs[0].text for output in outputs]
else:
    answers = []
    for output, row in zip(outputs, rows, strict=True):
        own = len(output.prompt_token_ids) - len(model.get_tokenizer()(row["context"])["input_ids"])
        answers.append(sum(next(iter(each.values())).logprob for each in output.prompt_logprobs[-own:]))
Path(result).write_text(json.dumps({**seconds, "answers": answers, "tokens": 0}))
