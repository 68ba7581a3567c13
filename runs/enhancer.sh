#!/usr/bin/env bash
# The enhancer in the package: pretraining, its table on held-out scenes, and the words-as-reward stage.
#
#     runs/enhancer.sh DATA_DIR [OUT]
#
# DATA_DIR holds manifest.csv (docs/data.md). By estimate six hours on two CPU cores: the pretraining beside the audio-only twin, which
# only the table needs, then the rewards. Interrupted, it goes on where it was. BF16= switches 16 bits off, where the processor has no
# units for them.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:?usage: runs/enhancer.sh DATA_DIR [OUT]}
out=${2:-out/enhancer}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} PATH="$PWD/.venv/bin:$PATH"
again() { [ -e "$1/config.yaml" ] && echo --resume || true; }

# 1. Pretraining: scenes are mixed as they are needed; a hundred drawn talkers join the filmed ones.
#    Weights: OUT/pretrain/best. Beside it a twin of the same size, trained alike, that is never shown a face.
bits=${BF16---bf16}
hearken data puppets -o "$out/puppets" --count 100 --seed 1
pretrain() { # NAME FLAGS...
  local name=$1
  shift
  hearken train enhancer-pretrain --data "$data" --films "$out/puppets" --rooms 40 $bits --out "$out/$name" --cache "$out/cache" \
    "$@" $(again "$out/$name")
}
pretrain pretrain &
pretrain twin --blank 1
wait $!

# 2. Held-out scenes: talkers, noises and rooms that no training saw.
for kind in noise speech; do
  hearken data scenes --data "$data" -o "$out/scenes/$kind" --count 60 --split valid --kind "$kind"
  hearken eval enhancer --scenes "$out/scenes/$kind" --out "$out/eval_$kind" --enhancer "$out/pretrain/best" --twin "$out/twin/best" \
    --metrics all --workers 2 $(again "$out/eval_$kind")
done

# 3. Words as reward, and the controls without which its gain means nothing.
WEIGHTS=$out/pretrain/best runs/words_as_reward.sh "$data" "$out/words_as_reward"
