#!/usr/bin/env bash
# Does the enhancer learn from what the critic says? Every reward and control, several seeds, one table.
#
#     runs/words_as_reward.sh DATA_DIR [OUT [SEED ...]]
#
# DATA_DIR holds manifest.csv (docs/data.md). Same clips, steps, learning rate and anchor for all; only the reward differs. Seven
# rows of a seed take about an hour on two CPU cores, the table fifteen minutes. Interrupted, it goes on where it was.
# STEPS= and JOBS= (runs at a time, one core each) change the size; WEIGHTS= the enhancer to start from.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:?usage: runs/words_as_reward.sh DATA_DIR [OUT [SEED ...]]}
out=${2:-out/words_as_reward}
shift $(($# < 2 ? $# : 2))
[ $# -gt 0 ] || set -- 0 1 2
export OMP_NUM_THREADS=1 PATH="$PWD/.venv/bin:$PATH"
again() { [ -e "$1/config.yaml" ] && echo --resume || true; }

# Talkers, noises and rooms of the two splits are apart; the faces are those that there are.
hearken data scenes --data "$data" -o "$out/scenes/train" --count 400 --seed 31 --interferers 1 --faces any
hearken data scenes --data "$data" -o "$out/scenes/valid" --count 60 --seed 32 --split valid --interferers 1 --faces any

train() { # FOLDER FLAGS...
  local folder=$1
  shift
  [ -e "$folder/done" ] && return
  hearken train enhancer-finetune --data "$out/scenes/train" --valid "$out/scenes/valid" --cache "$out/cache" --threads 1 \
    --out "$folder" --steps "${STEPS:-60}" --valid-every 1000 --valid-count 12 ${WEIGHTS:+--weights "$WEIGHTS"} "$@" $(again "$folder")
  touch "$folder/done"
}
until_fewer_than() { while [ "$(jobs -rp | wc -l)" -ge "$1" ]; do wait -n; done; }
for seed in "$@"; do
  for row in none words scores faults words+faults shuffled dnsmos; do
    until_fewer_than "${JOBS:-2}"
    train "$out/runs/${row/+/_}/$seed" --reward "$row" --seed "$seed" &
  done
done
until_fewer_than 1

python benchmarks/rewards_table.py --scenes "$out/scenes/valid" --runs "$out/runs" --out "$out/table" --workers 2

# What differences each reward can tell, as we explore and as the paper does.
python benchmarks/reward_resolution.py --scenes "$out/scenes/valid" --pairs 500 --json "$out/resolution.json"
python benchmarks/reward_resolution.py --scenes "$out/scenes/valid" --pairs 500 --sigma 0.05 --cell 1 1 --json "$out/resolution_paper.json"

# The reward without guards, until it breaks.
train "$out/hacked" --reward words --config conf/enhancer_finetune/hacked.yaml --steps "${HACKED_STEPS:-60}" --valid-every 10
