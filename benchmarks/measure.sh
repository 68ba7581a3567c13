#!/usr/bin/env bash
# Every figure of the README, from the weights in the package, on talkers, noises, rooms and faces held out of all training.
#
#     benchmarks/measure.sh DATA_DIR [OUT [TWIN]]
#
# TWIN: weights of an audio-only enhancer, for its row of the table. About an hour on two CPU cores. Then: make readme
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:?usage: benchmarks/measure.sh DATA_DIR [OUT]}
out=${2:-out/bench} twin=${3:-}
export OMP_NUM_THREADS=1 PATH="$PWD/.venv/bin:$PATH"
again() { [ -e "$1/config.yaml" ] && echo --resume || true; }

hearken data faults --data "$data" -o "$out/faults" --count 400 --seed 11 --split valid --workers 2
hearken eval critic --faults "$out/faults" --out "$out/critic" $(again "$out/critic")

groups="noise_known noise_unseen speech_known speech_unseen same_known"
scenes() { # FOLDER GROUP COUNT SEED
  local kind=${2%_*} faces=${2#*_} same=0
  [ "$kind" = same ] && kind=speech same=1
  hearken data scenes --data "$data" -o "$1/$2" --count "$3" --seed "$4" --split valid --kind "$kind" --interferers 1 \
    --faces "$faces" --same-voice "$same"
}
for group in $groups; do
  scenes "$out/scenes" "$group" 40 21
  hearken eval enhancer --scenes "$out/scenes/$group" --out "$out/enhancer_$group" --metrics pesq_wb,estoi,si_sdr_db --workers 2 \
    ${twin:+--twin "$twin"} $(again "$out/enhancer_$group")
  scenes "$out/few" "$group" 6 22
done
# One table of all groups, with the blind metrics: 30 other scenes.
hearken eval enhancer --scenes "$out/few" --out "$out/enhancer_all" --metrics all --workers 2 ${twin:+--twin "$twin"} \
  $(again "$out/enhancer_all")

python benchmarks/verify.py --faults "$out/faults" --json "$out/verify.json"
python benchmarks/ranks.py --data "$data" --json "$out/ranks.json"
python benchmarks/robustness.py --data "$data" --ladders 200 --json "$out/robustness.json"
python benchmarks/speed.py -o "$out/speed.json"
python benchmarks/collect.py "$out"
