"""From video to one person's 2D joints, with the heatmaps they came from."""

from __future__ import annotations

from posecli.detect.blazepose import BlazePose

DETECTORS: dict[str, type[BlazePose]] = {BlazePose.name: BlazePose}
"""Name on the command line → detector."""
