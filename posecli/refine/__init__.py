"""Refining motion that exists already: any lifter's, ours or a stranger's.

`REFINERS` are networks with weights, `filters.FILTERS` need none; `apply.refine_motion` runs either on a Motion.
"""

from __future__ import annotations

from posecli.methods import MethodEntry
from posecli.refine.d3prefiner import D3PRefiner, D3PRefinerConfig

REFINERS: dict[str, MethodEntry] = {
    "d3prefiner": MethodEntry(
        title="D3PRefiner: diffusion from a lifter's answer to the true motion, over a window of frames",
        paper="Yan et al., 2024",
        build=lambda settings: D3PRefiner(D3PRefinerConfig.from_dict(settings)).eval(),
        defaults=D3PRefinerConfig().to_dict(),
    ),
}
"""Name → what `posecli.weights.format` needs to read and write their weights."""
