#!/usr/bin/env bash
# The whole recipe, from raw motion capture to weights and their cards:
#   scripts/make_weights.sh path/to/cmu_raw.tar.xz work            # ddhpose alone, what is lifted with by default
#   scripts/make_weights.sh path/to/cmu_raw.tar.xz work all        # and the other lifters, and refiners
# On one CPU core with AVX512-BF16: corpus 1 minute, paired set 21 (20,160 pictures rendered and seen by the detector,
# then what their heatmaps say), the four stages of ddhpose 65, 100, 35 and 45 minutes. Every step goes on where it was stopped
# when the script is run again. `QUICK=1` runs every command with next to nothing, to see that all is there.
# The paired set was also what `posecli/assets/detector_model.json`, from which the simulator draws, was fitted to, by
#   posecli data fit pairs.h5 --out posecli/assets/detector_model.json --overwrite
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
    sed -E 's/^(steps|validate_every) = .*/\1 = 2/; s/^warmup = .*/warmup = 1/; /^(validation|calibration)_windows = /d' \
      "$here/$1" | sed 's/^samples = .*/samples = 50/; s/^windows = .*/windows = 8/' >"quick-$1"
    {
      if [[ $1 == d3prefiner* ]]; then echo 'validation_windows = 8'; else printf '%s_windows = 64\n' validation calibration; fi
      cat "quick-$1"
    } >"quick-$1.toml"
    echo "quick-$1.toml"
  else
    echo "$here/$1"
  fi
}

stage() { # METHOD CONFIG FOLDER [--pairs FILE]
  local method=$1 settings=$2 out=runs/$3
  shift 3
  [[ -e $out/$method-cmu.md ]] && return
  posecli train "$method" --data corpus.h5 --config "$(config "$settings")" --out "$out" "$@"
}

refiner() { # FOLDER LIFTERS CONFIG [--pairs FILE]
  local out=runs/$1 lifters=$2 settings=$3
  shift 3
  compgen -G "$out/d3prefiner-*.md" >/dev/null && return
  posecli train d3prefiner --base "$lifters" --data corpus.h5 --config "$(config "$settings")" --out "$out" "$@"
}

of() { echo "runs/$1/$1-cmu.safetensors"; }

card() { # METHOD FOLDER: what the open benchmark says goes into the card
  local card=runs/$2/$1-cmu.md figures
  grep -q '^## Open benchmark' "$card" && return
  figures=$(posecli bench open --weights "runs/$2/$1-cmu.safetensors" --format markdown --out "runs/$2/bench.json" --overwrite)
  {
    printf '\n## Open benchmark\n\nBy `posecli bench open`: held-out people, simulated detections, through the whole of lifting.\n\n'
    echo "$figures"
  } >>"$card"
}

[[ -e corpus.h5 ]] || posecli data build cmu "$raw" --out corpus.h5
stage ddhpose ddhpose-cpu.toml 1
posecli data pairs corpus.h5 --out pairs.h5 "${pairs[@]}"
stage ddhpose ddhpose-anneal.toml 2 --pairs pairs.h5
stage ddhpose ddhpose-tumbling.toml 3 --pairs pairs.h5
stage ddhpose ddhpose-bones.toml 4 --pairs pairs.h5
card ddhpose 4
if [[ ${3:-} == all ]]; then
  for method in mixste d3dp graformer diffpose diffupose; do # diffpose is built on mixste
    stage "$method" "$method-cpu.toml" "$method" --pairs pairs.h5
    card "$method" "$method"
  done
  stage diffpose diffpose-frame-cpu.toml diffpose-frame --pairs pairs.h5 # on graformer; ships as diffpose-frame
  card diffpose diffpose-frame
  refiner d3prefiner-first "$(of graformer)" d3prefiner-cpu.toml --pairs pairs.h5
  mkdir -p runs/d3prefiner-graformer
  ln -f runs/d3prefiner-first/pairs-* runs/d3prefiner-graformer/
  refiner d3prefiner-graformer "$(of graformer)" d3prefiner-more-cpu.toml --pairs pairs.h5
  every=$(of diffupose),runs/4/ddhpose-cmu.safetensors,$(of mixste),$(of d3dp),$(of graformer),$(of diffpose)
  refiner d3prefiner-any "$every" d3prefiner-any-cpu.toml
  for method in mixste ddhpose d3dp diffpose diffupose; do
    mkdir -p "runs/d3prefiner-$method"
    ln -f runs/d3prefiner-any/pairs-"$method"-* "runs/d3prefiner-$method/"
    lifter=$(of "$method")
    [[ $method == ddhpose ]] && lifter=runs/4/ddhpose-cmu.safetensors
    refiner "d3prefiner-$method" "$lifter" d3prefiner-own-cpu.toml
  done
fi
echo "weights, cards and benchmarks are in $PWD/runs"
