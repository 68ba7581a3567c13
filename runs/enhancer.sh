#!/usr/bin/env bash
# The enhancer in the package: pretraining, its table on held-out scenes, and the words-as-reward stage.
#
#     runs/enhancer.sh DATA_DIR [OUT]
#
# DATA_DIR holds manifest.csv (docs/data.md). About two hours on two CPU cores. Interrupted, it goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:?usage: runs/enhancer.sh DATA_DIR [OUT]}
out=${2:-out/enhancer}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} PATH="$PWD/.venv/bin:$PATH"
again() { [ -e "$1/config.yaml" ] && echo --resume || true; }

# 1. Pretraining: scenes are mixed as they are needed; a hundred drawn talkers join the filmed ones.
#    Weights: OUT/pretrain/best
hearken data puppets -o "$out/puppets" --count 100 --seed 1
hearken train enhancer-pretrain --data "$data" --films "$out/puppets" --out "$out/pretrain" --cache "$out/cache" \
  $(again "$out/pretrain")

# 2. Held-out scenes: talkers, noises and rooms that no training saw.
for kind in noise speech; do
  hearken data scenes --data "$data" -o "$out/scenes/$kind" --count 60 --split valid --kind "$kind"
  hearken eval enhancer --scenes "$out/scenes/$kind" --out "$out/eval_$kind" --enhancer "$out/pretrain/best" --metrics all \
    --workers 2 $(again "$out/eval_$kind")
done

# 3. Words as reward, and the controls without which its gain means nothing.
hearken data scenes --data "$data" -o "$out/scenes/train" --count 300
hearken data scenes --data "$data" -o "$out/scenes/valid" --count 60 --split valid --seed 1
for reward in words none shuffled; do
  hearken train enhancer-finetune --data "$out/scenes/train" --valid "$out/scenes/valid" --weights "$out/pretrain/best" \
    --reward "$reward" --out "$out/finetune_$reward" --cache "$out/crops" $(again "$out/finetune_$reward")
done
