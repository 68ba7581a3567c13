#!/usr/bin/env bash
# What each part of the critic's training does: the ablation of Kostenok et al. 2026, at the size of one small machine.
#
#     runs/ablation.sh CORPUS OUT [SEED ...]
#
# CORPUS holds train/, valid/ (for choosing) and test/ (for the table), as `hearken data faults` makes them; --seed keeps the
# last two apart. The start of every row is a critic that has learnt the language and the faults, but no scores ("base").
# Twenty minutes a seed on one core; interrupted, it goes on where it was.
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
  hearken train critic-calibrate "${data[@]}" --out "$folder" --bf16 --warmup 50 "$@" $(again "$folder")
}
reason() { # FOLDER MODEL FLAGS...
  local folder=$1 model=$2; shift 2
  hearken train critic-reason --config conf/critic_reason/tiny.yaml "${data[@]}" --model "$model" --out "$folder" \
    --steps "${REASON_STEPS:-40}" --valid-clips 64 "$@" $(again "$folder")
}
measure() { # NAME MODEL
  [ -e "$out/$seed/$1/eval/table.json" ] || hearken eval critic --faults "$corpus/test" --critic "$2" \
    --out "$out/$seed/$1/eval" --no-controls $(again "$out/$seed/$1/eval")
}

steps=${CALIBRATE_STEPS:-500}
for seed in "${@:-0}"; do
  at=$out/$seed
  calibrate "$at/base" ${BASE:+--init "$BASE"} --steps "${BASE_STEPS:-1200}" --hear-first "${HEAR_STEPS:-600}" \
    --score-weight 0 --cooldown 300 --seed "$seed"
  measure base "$at/base/critic"
  scores=(--init "$at/base/critic" --config conf/critic_calibrate/score_only.yaml --batch 16 --lr 2e-4 --steps "$steps")
  calibrate "$at/calibrated" "${scores[@]}" --cooldown 200 --seed "$seed"
  calibrate "$at/frozen" "${scores[@]}" --cooldown 200 --seed "$seed" --freeze-encoder
  reason "$at/reasoned" "$at/base/critic" --seed "$seed"
  reason "$at/both" "$at/calibrated/critic" --seed "$seed"
  reason "$at/unified" "$at/calibrated/critic" --seed "$seed" --unified
  for name in calibrated frozen; do measure $name "$at/$name/critic"; done
  for name in reasoned both unified; do measure $name "$at/$name/model"; done
done
python benchmarks/ablation.py "$out"
