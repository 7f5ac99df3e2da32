#!/usr/bin/env bash
# The D3PRefiner paper's Table III at one small budget: with and without diffusion, with and without the conditional
# distribution, all else the same; then all of them on test subjects, beside filters that know nothing.
#   scripts/refiner_variants.sh corpus.h5 graformer work/variants
# STEPS (200) and WINDOWS (240) of training are the same for all; the lifter's answers are made once.
set -euo pipefail
corpus=$(realpath "$1") base=$2 out=$3
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
cd "$out"
names=()

variant() { # NAME, then settings of [model]
  local name=d3prefiner-$1 kept
  shift
  names+=("$name.safetensors")
  [[ -e $name.safetensors ]] && return
  mkdir -p "$name"
  for kept in pairs-*.safetensors; do [[ -e $kept ]] && ln -f "$kept" "$name/$kept"; done
  sed -E "s/^(steps|validate_every) = .*/\1 = ${STEPS:-200}/; s/^windows = .*/windows = ${WINDOWS:-240}/
    s/^validation_windows = .*/validation_windows = 40/; /^(diffusion|conditional|temporal_rho) = /d" \
    "$here/d3prefiner-cpu.toml" >"$name.toml"
  printf '%s\n' "$@" >>"$name.toml" # [model] is the file's last table
  posecli train d3prefiner --base "$base" --data "$corpus" --config "$name.toml" --out "$name"
  ln -f "$name"/pairs-*.safetensors .
  ln -f "$name/d3prefiner-$base.safetensors" "$name.safetensors"
}

variant neither 'diffusion = false' 'conditional = false'
variant diffusion 'diffusion = true' 'conditional = false'
variant conditional 'diffusion = false' 'conditional = true'
variant paper 'diffusion = true' 'conditional = true'
variant paper-rho 'diffusion = true' 'conditional = true' 'temporal_rho = 0.98'
posecli bench refine --lifter "$base" --refiner "$(IFS=,; echo "${names[*]}")" --format markdown \
  --out bench.json --overwrite
