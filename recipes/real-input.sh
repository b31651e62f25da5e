#!/usr/bin/env bash
# Every verb on a real model and real benchmark rows, by the command line alone:
# compress, evaluate, compare, a hold-out, OpenCompass's files, measure, deploy, pack, check, score.
#
#     recipes/real-input.sh MODEL DATA OUT [ROWS]
#
# MODEL is a checkpoint folder, DATA a data folder in the upstream layout (or "" to fetch what is missing), OUT a new
# folder, ROWS the rows of each task to ask (16). The model here is a small one, so the workload of the speed
# measurement is short, and a submission with so few rows answered is scored as "not evaluated": that is the rule.
set -euo pipefail
model=$1 data=$2 out=$3 rows=${4:-16}
export EDGELM_DATA=$data
rules="miniature:suite=opencompass-0.3.1,tasks=commonsenseqa+gsm8k+chid+holdout,holdouts=endings"
ranked=(-t commonsenseqa -t gsm8k -t chid)  # by these rules, beside the hold-out
# Of LongBench one subset, whose rows are also published outside the archive.
others=(-t bbh -t longbench:subsets=passage_retrieval_zh -t humaneval -t truthfulqa)

edgelm show "$model"
edgelm compress "$model" depth:drop=1 width:ffn=128 --plan
edgelm compress "$model" depth:drop=1 width:ffn=128 -o "$out/small"

# Both models. The second command goes on with the base's report: what is answered is not asked again.
edgelm evaluate "$model" "${ranked[@]}" --limit "$rows" -o "$out/base-scores"
edgelm evaluate "$model" "${ranked[@]}" "${others[@]}" --limit "$rows" -o "$out/base-scores"
edgelm evaluate "$out/small" "${ranked[@]}" --limit "$rows" -o "$out/small-scores"
edgelm evaluate -t gsm8k:scorer=fixed --rescore -o "$out/base-scores"
edgelm compare "$out/base-scores" "$out/small-scores" --show 1 --html "$out/comparison.html"

# A hold-out of two rows: publish its digest, ask it, and let anybody confirm it.
mkdir -p "$out/secret"
printf 'kind = "likelihood"\nprompt = "{beginning}"\n' > "$out/secret/endings.toml"
cat > "$out/secret/endings.jsonl" << 'ROWS'
{"beginning": "Lily went to the park with her", "choices": ["mom.", "stone."], "answer": 0}
{"beginning": "Tom was sad because he lost his", "choices": ["rain.", "ball."], "answer": 1}
ROWS
edgelm holdout check "$out/secret" --no-public
digest=$(edgelm holdout digest "$out/secret")
edgelm evaluate "$out/small" --holdout "$out/secret" -o "$out/holdout/Real-base"
edgelm holdout verify "$out/secret" --digest "$digest"

for name in base small; do
  if [ "$name" = base ]; then checkpoint=$model; else checkpoint=$out/small; fi
  edgelm measure "$checkpoint" --rules "$rules" -o "$out/$name-speed"
done

edgelm opencompass "$out/small" -o "$out/opencompass"
edgelm deploy "$out/small" gguf -o "$out/bundle"
edgelm pack "base=$out/small,$out/small-scores,$out/small-speed,$out/bundle" \
  --team Real --track compression --rules "$rules" --contact real@example.org -o "$out/submission"
edgelm check "$out/submission" --rules "$rules"
edgelm score "$out/submission" --rules "$rules" --holdout "$out/holdout/Real-base" \
  --reference "base=$out/base-scores" --reference "base=$out/base-speed" -o "$out/leaderboard"
edgelm show "$out/submission"
