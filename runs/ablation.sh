#!/usr/bin/env bash
# What each part of the critic's training does: the ablation of Kostenok et al. 2026, at the size of one small machine.
#
#     runs/ablation.sh CORPUS OUT [SEED ...]
#
# CORPUS holds train/, valid/ (for choosing) and test/ (for the table), as `hearken data faults` makes them; --seed keeps the
# last two apart. The start of every row is one critic that has learnt the language and the faults, but no scores ("base");
# BASE names a critic to make it from, whose ears can hear already. The seeds are those of the two stages. Half an hour a
# seed on one core; interrupted, it goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/.."
corpus=${1:?usage: runs/ablation.sh CORPUS OUT [SEED ...]}
out=${2:?usage: runs/ablation.sh CORPUS OUT [SEED ...]}
shift 2
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} PATH="$PWD/.venv/bin:$PATH"
again() { [ -e "$1/config.yaml" ] && echo --resume || true; }
data=(--data "$corpus/train" --valid "$corpus/valid")

calibrate() { # FOLDER FLAGS...
  local folder=$1; shift
  [ -e "$folder/done" ] || hearken train critic-calibrate "${data[@]}" --out "$folder" --cache "$out/heard" --bf16 --warmup 50 \
    --eval-every 10000 "$@" $(again "$folder")
  touch "$folder/done"
}
reason() { # FOLDER MODEL FLAGS...
  local folder=$1 model=$2; shift 2
  [ -e "$folder/summary.json" ] || hearken train critic-reason --config conf/critic_reason/tiny.yaml "${data[@]}" --clips 8 \
    --model "$model" --out "$folder" --steps "${REASON_STEPS:-30}" --valid-clips 64 "$@" $(again "$folder")
}
measure() { # NAME MODEL
  [ -e "$at/$1/eval/table.json" ] || hearken eval critic --faults "$corpus/test" --critic "$2" --out "$at/$1/eval" \
    --no-controls $(again "$at/$1/eval")
}

base=$out/base/critic
calibrate "$out/base" ${BASE:+--init "$BASE"} --steps "${BASE_STEPS:-1200}" --hear-first "${HEAR_STEPS:-600}" \
  --score-weight 0 --cooldown 300
for seed in "${@:-0}"; do
  at=$out/$seed
  scores=(--init "$base" --config conf/critic_calibrate/score_only.yaml --batch 16 --lr 2e-4 --seed "$seed"
    --steps "${CALIBRATE_STEPS:-400}" --cooldown 200)
  calibrate "$at/calibrated" "${scores[@]}"
  reason "$at/both" "$at/calibrated/critic" --seed "$seed"
  reason "$at/unified" "$at/calibrated/critic" --seed "$seed" --unified --credit answer
  calibrate "$at/frozen" "${scores[@]}" --freeze-encoder
  reason "$at/reasoned" "$base" --seed "$seed"
  measure base "$base"
  for name in calibrated frozen; do measure $name "$at/$name/critic"; done
  for name in reasoned both unified; do measure $name "$at/$name/model"; done
done
python benchmarks/ablation.py "$out"
