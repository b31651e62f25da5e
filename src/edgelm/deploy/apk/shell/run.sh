#!/bin/sh
# Run the model on a phone by adb, without the app.
#   ./run.sh "What is an island?"   answers (the rest of the line may be several words)
#   ./run.sh --measure              runs the workload, prints the figures, keeps every reading in measure.jsonl
#   ./run.sh --clean                removes from the phone what this script put there
# THREADS=4 sets the number of threads, ANDROID_SERIAL names the phone where there are several.
set -eu
cd "$(dirname "$0")"
here="${0##*/}"

model_sha256=@MODEL_SHA256@
model_size=@MODEL_SIZE@
runner_sha256=@RUNNER_SHA256@
runner_size=@RUNNER_SIZE@
folder=@FOLDER@
context=@CONTEXT@
before=@BEFORE@
behind=@BEHIND@
begins=@BEGINS@
prompt_tokens=@PROMPT_TOKENS@
generated_tokens=@GENERATED_TOKENS@
repeats=@REPEATS@
answer_tokens=256

@PHONE@

require_phone() {
  command -v adb > /dev/null || fail "adb is not installed" "on Debian: sudo apt-get install adb"
  state="$(adb get-state 2>&1)" || fail "no phone is reached: $state" \
    "connect it, switch on USB debugging, and say yes on its screen; with several, set ANDROID_SERIAL"
  case "$(on_phone 'getprop ro.product.cpu.abilist')" in
    *arm64-v8a*) ;;
    *) fail "this phone is not arm64-v8a" "the bundle runs on 64-bit Arm phones alone" ;;
  esac
}

# bring FILE SHA256 SIZE: onto the phone, checked there, under its name only when whole; what is there stays.
bring() {
  if [ "$(on_phone "cat $folder/$1.sha256 2>/dev/null; stat -c %s $folder/$1 2>/dev/null" | tr '\n' ' ')" = "$2 $3 " ]; then
    return
  fi
  free="$(on_phone "df -k /data/local/tmp" | awk 'END { print $4 }')"
  case "$free" in
    '' | *[!0-9]*) ;;
    *) [ "$free" -gt "$(($3 / 1024))" ] || fail "the phone has $free KB free, $1 needs $(($3 / 1024)) KB" "free some space on it" ;;
  esac
  do_on_phone "mkdir -p $folder && rm -f $folder/$1 $folder/$1.sha256 $folder/$1.partial"
  adb push "$1" "$folder/$1.partial" < /dev/null >&2 || {
    on_phone "rm -f $folder/$1.partial" || true
    fail "$1 could not be pushed" "check cable and storage, then run this again"
  }
  found="$(on_phone "sha256sum $folder/$1.partial" | cut -c1-64)"
  if [ "$found" != "$2" ]; then
    on_phone "rm -f $folder/$1.partial"
    fail "$1 did not arrive whole" "run this again"
  fi
  do_on_phone "chmod 755 $folder/$1.partial && mv $folder/$1.partial $folder/$1 && echo $2 > $folder/$1.sha256 || { rm -f $folder/$1.partial; false; }"
}

begin() {
  require_phone
  bring runner "$runner_sha256" "$runner_size"
  bring model.gguf "$model_sha256" "$model_size"
  work="$(mktemp -d)"
  trap 'exec 3>&- 4<&-; rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM
  trap '' PIPE
  mkfifo "$work/questions" "$work/answers"
  adb shell "cd $folder && exec ./runner --model model.gguf --context $context${THREADS:+ --threads $THREADS}" \
    < "$work/questions" > "$work/answers" 2> "$work/log" &
  exec 3> "$work/questions" 4< "$work/answers"
  echo "loading" >&2
  hear
}

died() {
  fail "the runner ended: not enough memory, or the phone was disconnected" "$(tail -n 3 "$work/log")"
}

say() {
  printf '%s\n' "$1" >&3 || died
}

# The next line into $line.
hear() {
  IFS= read -r line <&4 || died
  case "$line" in
    '{"error"'*) fail "the runner says: $line" ;;
  esac
}

# The list of ids in $line, without brackets.
ids() {
  printf '%s' "$line" | sed -E 's/.*\[([^]]*)\].*/\1/; s/ //g'
}

escaped() {
  printf '%s' "$1" | tr -d '\000-\010\013-\037' | sed 's/\\/\\\\/g; s/"/\\"/g; s/	/\\t/g' | awk 'NR > 1 { printf "\\n" } { printf "%s", $0 }'
}

answer() {
  begin
  bos="$(printf '%s' "$line" | sed -nE 's/.*"bos": ?([0-9]+).*/\1/p')"
  say "{\"op\":\"tokenize\",\"text\":\"$before$(escaped "$1")$behind\"}"
  hear
  list="$(ids)"
  if [ "$begins" = yes ] && [ -n "$bos" ]; then list="$bos${list:+,$list}"; fi
  room=$((context - $(printf '%s' "$list" | awk -F, '{ print NF }')))
  [ "$room" -gt 0 ] || fail "the text is longer than the context of $context tokens" "shorten it"
  [ "$room" -gt "$answer_tokens" ] || answer_tokens=$room
  say "{\"op\":\"generate\",\"ids\":[$list],\"max_tokens\":$answer_tokens,\"stream\":true}"
  hear
  while :; do
    case "$line" in
      '{"done"'*) break ;;
    esac
    # The runner writes its fields in the order of their names: "ns", "text", "token".
    text="${line#*\"text\":\"}"
    text="${text%\",\"token\":*}"
    case "$text" in
      *'\"'*) text="$(printf '%s' "$text" | sed 's/\\"/"/g')" ;;
    esac
    printf '%b' "$text"
    hear
  done
  printf '\n'
  printf '%s\n' "$line" | figures 0 >&2
}

# Figures of the "done" line on stdin; $1 is the number of prompt tokens, 0 where they do not count.
figures() {
  awk -v prompt="$1" '{
    match($0, /"arrived_ns": ?\[[^]]*\]/)
    list = substr($0, RSTART, RLENGTH); sub(/^[^[]*\[/, "", list); sub(/\]$/, "", list)
    count = split(list, at, ",")
    if (count == 0) { print "no token"; exit }
    first = at[1] / 1e9; all = at[count] / 1e9
    printf "%d tokens in %.2f s, the first after %.2f s", count, all, first
    if (count > 1) printf ", then %.2f tokens a second", (count - 1) / (all - first)
    if (prompt > 0) printf "; prompt read at %.1f, in all %.1f tokens a second", prompt / first, (prompt + count) / all
    if (match($0, /"VmHWM": ?[0-9]+/)) { peak = substr($0, RSTART, RLENGTH); sub(/.*: ?/, "", peak); printf "; peak memory %.2f GB", peak / 1e9 }
    print ""
  }'
}

measure() {
  begin
  printf '%s\n' "$line" > "$work/kept"
  say "$(cat passage.json)"
  hear
  list="$(ids | cut -d, -f"1-$prompt_tokens")"
  number=0
  while [ "$number" -le "$repeats" ]; do
    say "{\"op\":\"generate\",\"ids\":[$list],\"max_tokens\":$generated_tokens,\"ignore_end\":true}"
    hear
    if [ "$number" = 0 ]; then name=warm-up; else name="repeat $number of $repeats"; printf '%s\n' "$line" >> "$work/kept"; fi
    printf '%s: ' "$name"
    printf '%s\n' "$line" | figures "$prompt_tokens"
    number=$((number + 1))
  done
  say '{"op":"memory"}'
  hear
  printf '%s\n' "$line" >> "$work/kept"
  cp "$work/kept" measure.jsonl
  echo "every reading is in measure.jsonl"
}

case "${1-}" in
  '' | -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$here" ;;
  --measure) measure ;;
  --clean) require_phone; do_on_phone "rm -rf $folder" ;;
  --*) fail "there is no option $1" "sh $here --help says which there are" ;;
  *) answer "$*" ;;
esac
