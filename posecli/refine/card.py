"""The card beside a refiner's weights: what it was fitted to, how, and what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from posecli.files import atomic_write
from posecli.refine.d3prefiner import D3PRefinerConfig
from posecli.weights import store

_MEASURES = (
    ("mpjpe", "MPJPE, mm"),
    ("p_mpjpe", "P-MPJPE, mm"),
    ("velocity", "velocity error, mm a frame"),
    ("acceleration", "acceleration error, mm a frame²"),
)
_WHO = {
    "training": "the corpus's training subjects, whom the lifters know",
    "held-out": "half of the corpus's validation subjects, whom the lifters were not trained on (though the best of "
    "their checkpoints was chosen on them)",
    "folds": "the corpus's training subjects, each as lifted by a lifter trained on the others",
}

_KINDS = {
    (True, True): "With the paper's diffusion and conditional distribution.",
    (
        True,
        False,
    ): "With the paper's diffusion, but without its conditional distribution: fitted to the lifters' very "
    "errors (a row of its Table III).",
    (False, True): "Without the paper's diffusion, with its conditional distribution.",
    (
        False,
        False,
    ): "The paper's network alone, without its diffusion and its conditional distribution: the error is "
    "guessed once, from what the lifter answered.",
}


def write_card(path: Path, weights: Path, about: dict[str, Any]) -> None:
    """Write the Markdown card of `weights`; figures come from `about`, its metadata, nothing is invented."""
    training, found = about["training"], about["validation"]
    bases = "\n".join(f"- {name}, SHA-256 `{digest}`" for name, digest in about["bases"].items())
    rows = "\n".join(
        f"| {words} | {found[f'{key}_before']:.2f} | {found[key]:.2f} | "
        f"{100 * (found[key] / found[f'{key}_before'] - 1):+.1f} % |"
        for key, words in _MEASURES
    )
    left_out = ("model", "lifter", "folds") if training["fit"] != "folds" else ("model", "lifter")
    settings = "\n".join(f"| {key} | `{value}` |" for key, value in training.items() if key not in left_out)
    model = ", ".join(f"{key} `{value}`" for key, value in training["model"].items()) or "the paper's"
    paired = ""
    if about["pairs_sha256"]:
        paired = f", and the paired set, SHA-256 `{about['pairs_sha256']}`"
    network = {**D3PRefinerConfig().to_dict(), **training["model"]}
    kind = _KINDS[network["diffusion"], network["conditional"]]
    begun = f"\n- Begun with weights of SHA-256 `{about['init_sha256']}`" if about.get("init_sha256") else ""
    options = ",".join(about["bases"])
    text = f"""# {weights.name}

D3PRefiner (Yan et al., 2024) for the answers of {options.replace(",", ", ")}, trained by posecli {about["posecli"]}.
No code of the paper was released; what is ours is said in `posecli/refine`. {kind}

- SHA-256 `{store.sha256(weights)}`
- Size {weights.stat().st_size / 2**20:.2f} MiB (float16)
- Made by `posecli train d3prefiner --base {options} --data corpus.h5{" --pairs pairs.h5" if paired else ""} \
--config CONFIG`; corpus SHA-256
  `{about["corpus_sha256"]}`{paired}{begun}
- Fitted on {about["windows"]["fit"]} windows of {_WHO[training["fit"]]}; the lifters err there by
  {about["fit_mpjpe_mm"]:.1f} mm
- Sees what `posecli lift` answers with its defaults: {about["rate_hz"]:g} frames/s, low-pass, bones of one length
- Licence Apache-2.0. {about["acknowledgement"]}

Weights it was fitted to:

{bases}

## Measured

{about["windows"]["validation"]} windows of other people (validation subjects). The best step was chosen on them, and
how much of the correction is made ({about["strength"]:.0%}), so they flatter it. What counts is
`posecli bench refine`, on test subjects.

| measure | as lifted | refined | change |
|---|---|---|---|
{rows}

## Settings

Network, where not the paper's: {model}.

| setting | value |
|---|---|
{settings}
"""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
