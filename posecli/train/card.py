"""The card beside a weights file: what it is, what it was made from, how, and what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from posecli.files import atomic_write
from posecli.methods import METHODS
from posecli.train.calibrate import AXES, LEVELS
from posecli.train.reliability import plot_reliability
from posecli.weights import store


def write_card(path: Path, weights: Path, method: str, metadata: dict[str, Any]) -> None:
    """Write the Markdown card of `weights` and the picture it links; figures come from `metadata`, nothing is
    invented."""
    training, validation = metadata["training"], metadata["validation"]
    settings = "\n".join(
        f"| {key} | `{value}` |" for key, value in training.items() if key not in ("model", "simulator")
    )
    pairs = " --pairs pairs.h5" if "pairs_sha256" in metadata else ""
    network = {**METHODS[method].defaults, **training["model"]}
    model = ", ".join(f"{key} `{value}`" for key, value in network.items())
    text = f"""# {weights.name}

{METHODS[method].title} ({METHODS[method].paper}), trained by posecli {metadata["posecli"]} on CMU motion capture
seen through random virtual cameras, with errors like BlazePose's added to the projected joints{_rendered(training)}.
No video of people and no licensed data set was used.

- SHA-256 `{store.sha256(weights)}`
- Size {weights.stat().st_size / 2**20:.1f} MiB (float16)
- Made by `posecli train {method} --data corpus.h5 --config CONFIG{pairs}`; corpus SHA-256
  `{metadata["corpus_sha256"]}`
  (`posecli data build cmu cmu_raw.tar.xz --out corpus.h5`){_origin(metadata)}
- On {metadata["processes"]} x {metadata["device"]}; {100 * metadata["waiting"]:.1f} % of the time spent making data
- Windows at {metadata["rate_hz"]:g} frames/s, 17 joints normalised to the person's box, whose size shows with the
  power {metadata["size_exponent"]:g}
- Licence Apache-2.0. {metadata["acknowledgement"]}

## Measured

On held-out people (the corpus's validation subjects) with simulated detections, hypotheses:
{metadata["hypotheses_used"]}, steps: {metadata["steps_used"]}; the weights were chosen on this set:

| measure | mm |
|---|---|
| MPJPE, 17 joints, root-relative | {validation["mpjpe_mm"]:.1f} |
| PA-MPJPE, 17 joints | {validation["p_mpjpe_mm"]:.1f} |
| PA-MPJPE, 12 limb joints | {validation["limbs_p_mpjpe_mm"]:.1f} |
{_paired(validation)}{_uncertainty(path, weights, metadata.get("calibration"))}
## Settings

Network: {model}.

| setting | value |
|---|---|
{settings}

Changed from the simulator's defaults: {training["simulator"] or "nothing"}.
"""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _rendered(training: dict[str, Any]) -> str:
    """What the paired set had to do with it."""
    share = training.get("pairs_share", 0.0)
    if not share:
        return ""
    return f""";
in {100 * share:g} % of the windows, what BlazePose (Google, Apache-2.0) itself said of rendered pictures of motion"""


def _origin(metadata: dict[str, Any]) -> str:
    """Hashes of the other things that it was made from."""
    lines = (("init_sha256", "Began with the weights"), ("pairs_sha256", "Paired set"))
    return "".join(f"\n- {words}, SHA-256 `{metadata[key]}`" for key, words in lines if key in metadata)


def _paired(validation: dict[str, float]) -> str:
    """The same figures on the paired set, where there was one."""
    if "paired_mpjpe_mm" not in validation:
        return ""
    return f"""
The same on rendered pictures of these people, in which a real detector found the joints:

| measure | mm |
|---|---|
| MPJPE, 17 joints, root-relative | {validation["paired_mpjpe_mm"]:.1f} |
| PA-MPJPE, 17 joints | {validation["paired_p_mpjpe_mm"]:.1f} |
| PA-MPJPE, 12 limb joints | {validation["paired_limbs_p_mpjpe_mm"]:.1f} |
"""


def _uncertainty(card: Path, weights: Path, calibration: dict[str, Any] | None) -> str:
    """Whether the truth lies within the stated uncertainty: a table and a picture beside the card."""
    if not calibration:
        return ""
    coverage = calibration["coverage"]
    name = "test" if "test" in coverage else "validation"
    picture = card.with_name(f"{weights.stem}-reliability.png")
    plot_reliability(coverage[name], picture)
    shown = (50, 68, 90, 95)
    rows = "\n".join(
        f"| {words} | {axis} | "
        + " | ".join(f"{coverage[name][key][axis][LEVELS.index(level)]:.1f}" for level in shown)
        + " |"
        for key, words in (("one", "one"), ("several", str(calibration["hypotheses"])))
        for axis in AXES
    )
    people = (
        "test subjects, who chose nothing" if name == "test" else "validation subjects, on whom it was fitted"
    )
    return f"""
## Uncertainty

Per cent of the true coordinates (root-relative, along the axes of the camera turned to the person) within the
intervals that `joints_3d_std` states, in {coverage[name]["windows"]} windows of the {people}.
The error model was fitted on validation subjects.

| hypotheses | axis | {" | ".join(f"{level} %" for level in shown)} |
|---|---|---|---|---|---|
{rows}

![Stated against observed]({picture.name})
"""
