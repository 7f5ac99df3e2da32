"""From video to one person's 2D joints, with the heatmaps they came from."""

from __future__ import annotations

from posecli.detect.blazepose import BlazePose
from posecli.detect.provenance import provenance
from posecli.detect.store import Detections, DetectionsWriter, load_detections, reuse_obstacle

__all__ = [
    "DETECTORS",
    "BlazePose",
    "Detections",
    "DetectionsWriter",
    "load_detections",
    "provenance",
    "reuse_obstacle",
]

DETECTORS: dict[str, type[BlazePose]] = {BlazePose.name: BlazePose}
"""Name on the command line → detector."""
