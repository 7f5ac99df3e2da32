#!/usr/bin/env bash
# The whole recipe, from raw motion capture to weights and their card:
#   scripts/make_weights.sh path/to/cmu_raw.tar.xz work
# About two and a half hours on one CPU core: corpus 2 minutes, paired set 13 (19 ms to render and 18 ms to detect each
# of 20,160 pictures), two stages of training an hour each. Every step goes on where it was stopped when the script is
# run again. `QUICK=1` runs every command with next to nothing, to see that all is there.
# The paired set was also what `posecli/assets/detector_model.json`, from which the simulator draws, was fitted to, by
#   posecli data fit pairs.h5 --out posecli/assets/detector_model.json
# It ships, so that is not done again here.
set -euo pipefail
raw=$(realpath "$1")
mkdir -p "$2"
here=$(cd "$(dirname "$0")" && pwd)
cd "$2"

pairs=(--windows 448 --frames 45)
if [[ -n ${QUICK:-} ]]; then pairs=(--windows 14 --frames 30); fi

config() { # the stage's settings; in a quick run two steps of them
  if [[ -n ${QUICK:-} ]]; then
    sed -E 's/^(steps|validate_every) = .*/\1 = 2/; s/^warmup = .*/warmup = 1/' "$here/$1" >"quick-$1"
    printf 'validation_windows = 64\ncalibration_windows = 64\n' | cat - "quick-$1" >"quick-$1.toml"
    echo "quick-$1.toml"
  else
    echo "$here/$1"
  fi
}

[[ -e corpus.h5 ]] || posecli data build cmu "$raw" --out corpus.h5
[[ -e runs/1/ddhpose-cmu.md ]] || posecli train ddhpose --data corpus.h5 --config "$(config ddhpose-cpu.toml)" --out runs/1
posecli data pairs corpus.h5 --out pairs.h5 "${pairs[@]}"
[[ -e runs/2/ddhpose-cmu.md ]] || posecli train ddhpose --data corpus.h5 --pairs pairs.h5 --config "$(config ddhpose-anneal.toml)" --out runs/2
figures=$(posecli bench open --weights runs/2/ddhpose-cmu.safetensors --format markdown --out runs/2/bench.json --overwrite)
{
  printf '\n## Open benchmark\n\nBy `posecli bench open`: held-out people, simulated detections, through the whole of lifting.\n\n'
  echo "$figures"
} >>runs/2/ddhpose-cmu.md
echo "weights, card and benchmark are in $PWD/runs/2"
