#!/usr/bin/env bash
# Both loops, all seven stages, tiny, on real recordings: minutes on two cores.
#
#     runs/smoke.sh DATA_DIR [OUT]
#
# DATA_DIR holds manifest.csv (docs/data.md). It shows that everything runs, not that anything is good.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:?usage: runs/smoke.sh DATA_DIR [OUT]}
out=${2:-out/smoke}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} PATH="$PWD/.venv/bin:$PATH"
rm -rf "$out" && mkdir -p "$out"
say() { printf '\n== %s\n' "$*"; }

say "corpora: planted faults and audio-visual scenes, training and held-out"
hearken data faults --data "$data" -o "$out/faults/train" --count 24 --workers 2
hearken data faults --data "$data" -o "$out/faults/valid" --count 12 --split valid --workers 2
hearken data scenes --data "$data" -o "$out/scenes/train" --count 6
hearken data scenes --data "$data" -o "$out/scenes/valid" --count 4 --split valid
hearken data check "$out/scenes/valid"

say "loop 1: the critic. calibrate, locate, reason, evaluate"
hearken train critic-calibrate --smoke --out "$out/critic_calibrate" --data "$out/faults/train" --valid "$out/faults/valid"
hearken train critic-locate --smoke --out "$out/critic_locate" --data "$out/faults/train" --valid "$out/faults/valid"
hearken train critic-reason --smoke --out "$out/critic_reason" --data "$out/faults/train" --valid "$out/faults/valid"
hearken eval critic --smoke --out "$out/critic_eval" --faults "$out/faults/valid"

say "loop 2: the enhancer. pretrain, fine-tune by words, evaluate"
hearken train enhancer-pretrain --smoke --out "$out/enhancer_pretrain" --data "$data"
hearken train enhancer-finetune --smoke --out "$out/enhancer_finetune" --data "$out/scenes/train" --valid "$out/scenes/valid"
hearken eval enhancer --smoke --out "$out/enhancer_eval" --scenes "$out/scenes/valid"

say "what a user does: clean a held-out talking face, listen before and after"
scene=$(ls "$out"/scenes/valid/scenes/*_silent.mp4 | head -n 1)
mix=${scene%_silent.mp4}_mono_mix.wav
hearken enhance --audio "$mix" --video "$scene" -o "$out/enhanced"
hearken listen "$mix" "$out"/enhanced/*.wav -f text
