#!/usr/bin/env bash
# Does the enhancer learn from what the critic says? Every reward and control, several seeds, one table.
#
#     runs/words_as_reward.sh DATA_DIR [OUT [SEED ...]]
#
# DATA_DIR holds manifest.csv (docs/data.md). Same clips, steps, learning rate and anchor for all; only the reward differs. A
# seed's eight rows take about 25 minutes on two CPU cores, the table fifteen. Interrupted, it goes on where it was. STEPS=,
# SHIPPED_STEPS=, HACKED_STEPS=, SCENES=, HELD_OUT=, PAIRS=, AGREE= and JOBS= (runs at a time, one core each) change the size;
# WEIGHTS= the enhancer to start from.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:?usage: runs/words_as_reward.sh DATA_DIR [OUT [SEED ...]]}
out=${2:-out/words_as_reward}
shift $(($# < 2 ? $# : 2))
[ $# -gt 0 ] || set -- 0 1 2
export OMP_NUM_THREADS=1 PATH="$PWD/.venv/bin:$PATH"
again() { [ -e "$1/config.yaml" ] && echo --resume || true; }

# Talkers, noises and rooms of the two splits are apart; the faces are those that there are.
hearken data scenes --data "$data" -o "$out/scenes/train" --count "${SCENES:-400}" --seed 31 --interferers 1 --faces any
hearken data scenes --data "$data" -o "$out/scenes/valid" --count "${HELD_OUT:-60}" --seed 32 --split valid --interferers 1 --faces any

train() { # FOLDER FLAGS...
  local folder=$1
  shift
  [ ! -e "$folder/done" ] || return 0
  hearken train enhancer-finetune --data "$out/scenes/train" --cache "$out/cache" --threads 1 --out "$folder" \
    ${WEIGHTS:+--weights "$WEIGHTS"} "$@" $(again "$folder")
  touch "$folder/done"
}
export -f train again
export out WEIGHTS=${WEIGHTS:-} STEPS=${STEPS:-30}
for seed in "$@"; do
  for row in gradient words none faults words+faults scores shuffled dnsmos; do echo "$row" "$seed"; done
done | xargs -P "${JOBS:-2}" -L 1 bash -euo pipefail -c 'train "$out/runs/${0/+/_}/$1" --reward "$0" --seed "$1" --steps "$STEPS"'

# What is shipped as enhancer-critic.
train "$out/runs/critic/0" --config conf/enhancer_finetune/critic.yaml ${SHIPPED_STEPS:+--steps "$SHIPPED_STEPS"}

python benchmarks/rewards_table.py --scenes "$out/scenes/valid" --runs "$out/runs" --out "$out/table" --workers 2
python benchmarks/rewards_figure.py --table "$out/table/table.json" --runs "$out/runs" --folder "$out/img"

# What differences each reward can tell, as we explore and as the paper does.
python benchmarks/reward_resolution.py --scenes "$out/scenes/valid" --pairs "${PAIRS:-500}" --json "$out/resolution.json"
python benchmarks/reward_resolution.py --scenes "$out/scenes/valid" --pairs "${PAIRS:-500}" --sigma 0.05 --cell 1 1 --json "$out/resolution_paper.json"

# Whose gradient is whose, and how much of it a step of samples finds.
python benchmarks/gradient_agreement.py --scenes "$out/scenes/train" --cache "$out/cache" --steps "${AGREE:-8}" --json "$out/agreement.json"

# The reward without guards, until it breaks.
for reward in words gradient; do
  train "$out/hacked/$reward" --reward "$reward" --config conf/enhancer_finetune/hacked.yaml --steps "${HACKED_STEPS:-30}" \
    --valid "$out/scenes/valid" --valid-every 10 --valid-count 12
done
