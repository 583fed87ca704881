#!/usr/bin/env bash
# Every benchmark that needs a GPU, one after the other, and one table at the end to send in.
#
#   benchmarks/gpu_all.sh             all of it, some 30 minutes on a card of 16 GB or more
#   benchmarks/gpu_all.sh 1           one of three parts, each under ten minutes: 1, 2 or 3
#   benchmarks/gpu_all.sh --shrink    the same commands on a CPU in tiny shapes, to see that each works
#
# PYTHON=python3 names the interpreter; OUT=runs/gpu the folder for the logs and table.md. A part that fails is told in the
# table, and the next one runs. Nothing is sent anywhere. Exit 1 when anything failed.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python} out=${OUT:-runs/gpu} shrink="" parts="1 2 3 4" failed=0
for word in "$@"; do
  case $word in
    --shrink) shrink=--shrink ;;
    1|2|3) parts=$word ;;
    *) echo "usage: benchmarks/gpu_all.sh [--shrink] [1|2|3]" >&2; exit 2 ;;
  esac
done
thinklab=$(dirname "$(command -v "$python")")/thinklab
mkdir -p "$out"
table=$out/table.md
{ echo "# thinklab on a GPU"; echo; echo "$(date -u +%F), commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)${shrink:+, SHRUNK: a rehearsal without figures}"; } > "$table"

run() {       # run NAME SECONDS COMMAND...: its output into a log, its tables into the table
  local name=$1 limit=$2 log began=$SECONDS code
  shift 2
  log=$out/$(echo "$name" | tr -cs 'a-z0-9\n' - ).log
  echo "== $name: $*" >&2
  timeout "$limit" "$@" > "$log" 2>&1
  code=$?
  case $code in
    0) what="ran" ;;
    5) what="not run: every test was skipped (no GPU, or no Unsloth)" ;;
    124) what="**cut off after $limit s**"; failed=1 ;;
    *) what="**failed** ($(grep -v '^ *$' "$log" | tail -1 | cut -c1-200))"; failed=1 ;;
  esac
  { echo; echo "## $name"; echo; echo "\`$*\`: $what, $((SECONDS - began)) s"; echo; grep -E '^\||^Llama|^V=|rollouts a step' "$log" | awk '/^\|/ && !before {print ""} {before = /^\|/; print}'; } >> "$table"
}

echo >> "$table"
"$python" - >> "$table" <<'P'
import importlib.metadata as m, platform, torch
def have(name):
    try: return f"{name} {m.version(name)}"
    except m.PackageNotFoundError: return f"no {name}"
card = "no GPU" if not torch.cuda.is_available() else "; ".join(
    f"{torch.cuda.get_device_name(k)}, {torch.cuda.get_device_properties(k).total_memory / 2**30:.1f} GB, capability "
    f"{'.'.join(map(str, torch.cuda.get_device_capability(k)))}" for k in range(torch.cuda.device_count()))
print(f"{card}; CUDA {torch.version.cuda}; Python {platform.python_version()}; "
      + ", ".join(map(have, "torch transformers trl peft accelerate unsloth xformers bitsandbytes vllm triton".split())))
P
"$python" -m pip freeze > "$out/freeze.txt" 2> /dev/null || true

for part in $parts; do
  case $part in
    1) run "doctor" 120 "$thinklab" doctor --quick
       run "tests on the GPU" 300 "$python" -m pytest -p tests.support.gpu_first tests/gpu -q
       run "peak memory, 4 layers" 240 "$python" benchmarks/gpu_peak.py --layers 4 $shrink ;;
    2) run "peak memory, Unsloth" 200 "$python" benchmarks/gpu_peak.py --cap $shrink
       run "peak memory, transformers" 200 "$python" benchmarks/gpu_peak.py --cap --kind transformers $shrink
       run "five steps without bf16" 200 "$python" benchmarks/gpu_peak.py --cap --without-bf16 --steps 5 --layers 8 $shrink ;;
    3) run "log-probs against plain logits" 120 "$python" benchmarks/gpu_logprobs.py $shrink
       run "samplers" 300 "$python" benchmarks/gpu_sampler.py --repeats 1 $shrink
       if [ -n "$shrink" ]; then short="--steps 2 --questions 8"; else short="--steps 60"; fi
       run "demo" 180 "$thinklab" demo --out "$out/demo-$(date +%s)" $short ;;
    4) if [ -n "$shrink" ]; then
         run "memory of the log-probs" 300 "$python" benchmarks/logprob_memory.py --vocabulary 2000 --hidden 64 --tokens 64 --repeats 1 --dtype float32
         run "a step beside TRL's" 300 "$python" benchmarks/step_overhead.py --steps 2 --repeats 1 --hidden 64 --vocabulary 2000 --answer 24 --guidance 80
         run "samplers, uneven answers" 300 "$python" benchmarks/sampler.py --questions 1 --longest 16 --prompt 16 --repeats 1
       else
         run "memory of the log-probs" 300 "$python" benchmarks/logprob_memory.py
         run "a step beside TRL's" 300 "$python" benchmarks/step_overhead.py --hidden 1024 --vocabulary 32000 --answer 256
         run "samplers, uneven answers" 600 "$python" benchmarks/sampler.py --shape 3b --longest 512 --repeats 3
       fi ;;
  esac
done
cat "$table"
exit $failed
