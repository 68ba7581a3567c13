#!/usr/bin/env bash
# Every figure of the README, from the weights in the package, on talkers, noises, rooms and faces held out of all training.
#
#     benchmarks/measure.sh DATA_DIR [OUT]
#
# About forty minutes on two CPU cores. Then: make readme
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:?usage: benchmarks/measure.sh DATA_DIR [OUT]}
out=${2:-out/bench}
export OMP_NUM_THREADS=1 PATH="$PWD/.venv/bin:$PATH"
again() { [ -e "$1/config.yaml" ] && echo --resume || true; }

hearken data faults --data "$data" -o "$out/faults" --count 400 --seed 11 --split valid --workers 2
hearken eval critic --faults "$out/faults" --out "$out/critic" $(again "$out/critic")

for kind in noise speech; do
  for faces in known unseen; do
    scenes="$out/scenes_${kind}_$faces"
    hearken data scenes --data "$data" -o "$scenes" --count 40 --seed 7 --split valid --kind "$kind" --interferers 1 --faces "$faces"
    hearken eval enhancer --scenes "$scenes" --out "$out/enhancer_${kind}_$faces" --metrics pesq_wb,estoi,si_sdr_db --workers 2 \
      $(again "$out/enhancer_${kind}_$faces")
  done
done

python benchmarks/verify.py --faults "$out/faults" --json "$out/verify.json"
python benchmarks/ranks.py --data "$data" --json "$out/ranks.json"
python benchmarks/robustness.py --data "$data" --ladders 200 --json "$out/robustness.json"
python benchmarks/speed.py -o "$out/speed.json"
python benchmarks/collect.py "$out"
