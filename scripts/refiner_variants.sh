#!/usr/bin/env bash
# The D3PRefiner paper's Table III at one small budget: with and without diffusion, with and without the conditional
# distribution, all else the same; then all of them on test subjects, beside filters that know nothing.
#   scripts/refiner_variants.sh corpus.h5 pairs.h5 graformer work/variants
# The lifter's answers are made once. STEPS=1000 trains for longer.
set -euo pipefail
corpus=$(realpath "$1") pairs=$(realpath "$2") base=$3 out=$4
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
cd "$out"

variant() { # NAME, then settings of [model]
  local name=$1
  shift
  [[ -e d3prefiner-$name.safetensors ]] && return
  mkdir -p "$name"
  local kept
  for kept in pairs-*.safetensors; do [[ -e $kept ]] && ln -f "$kept" "$name/$kept"; done
  sed -E "s/^(steps|validate_every) = .*/\1 = ${STEPS:-250}/; /^(diffusion|conditional|temporal_rho) = /d" \
    "$here/d3prefiner-cpu.toml" >"$name.toml"
  printf '%s\n' "$@" >>"$name.toml" # [model] is the file's last table
  posecli train d3prefiner --base "$base" --data "$corpus" --pairs "$pairs" --config "$name.toml" --out "$name"
  ln -f "$name"/pairs-*.safetensors .
  ln -f "$name/d3prefiner-$base.safetensors" "d3prefiner-$name.safetensors"
}

variant neither 'diffusion = false' 'conditional = false'
variant diffusion 'diffusion = true' 'conditional = false'
variant conditional 'diffusion = false' 'conditional = true'
variant paper 'diffusion = true' 'conditional = true'
variant paper-rho 'diffusion = true' 'conditional = true' 'temporal_rho = 0.98'
posecli bench refine --lifter "$base" --format markdown --out bench.json --overwrite \
  --refiner d3prefiner-neither.safetensors,d3prefiner-diffusion.safetensors,d3prefiner-conditional.safetensors,d3prefiner-paper.safetensors,d3prefiner-paper-rho.safetensors
