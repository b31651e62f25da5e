#!/usr/bin/env bash
# The main job on a real model and real benchmark rows, by the command line alone:
# compress, evaluate, measure, deploy, pack, check, score.
#
#     recipes/real-input.sh MODEL DATA OUT [ROWS]
#
# MODEL is a checkpoint folder, DATA a data folder in the upstream layout (or "" to fetch what is missing), OUT a new
# folder, ROWS the rows of each task to ask (16). The model here is a small one, so the workload of the speed
# measurement is short, and a submission with so few rows answered is scored as "not evaluated": that is the rule.
set -euo pipefail
model=$1 data=$2 out=$3 rows=${4:-16}
export EDGELM_DATA=$data
rules="miniature:suite=opencompass-0.3.1"

edgelm show "$model"
edgelm compress "$model" depth:drop=1 width:ffn=128 --plan
edgelm compress "$model" depth:drop=1 width:ffn=128 -o "$out/small"

for name in base small; do
  if [ "$name" = base ]; then checkpoint=$model; else checkpoint=$out/small; fi
  edgelm evaluate "$checkpoint" -t gsm8k -t commonsenseqa -t chid --limit "$rows" -o "$out/$name-scores"
  edgelm measure "$checkpoint" --rules "$rules" -o "$out/$name-speed"
done

edgelm deploy "$out/small" gguf -o "$out/bundle"
edgelm pack "base=$out/small,$out/small-scores,$out/small-speed,$out/bundle" \
  --team Real --track compression --rules "$rules" --contact real@example.org -o "$out/submission"
edgelm check "$out/submission" --rules "$rules"
edgelm score "$out/submission" --rules "$rules" --reference "base=$out/base-scores" --reference "base=$out/base-speed" \
  -o "$out/leaderboard"
edgelm show "$out/submission"
