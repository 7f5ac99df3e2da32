"""From video to people's 2D joints, with the heatmaps they came from."""

from __future__ import annotations

from posecli.detect.backends import DETECTORS, Detector, DetectorOptions, make_detector
from posecli.detect.blazepose import BlazePose
from posecli.detect.provenance import provenance
from posecli.detect.store import Detections, DetectionsWriter, load_detections, reuse_obstacle

__all__ = [
    "DETECTORS",
    "BlazePose",
    "Detections",
    "DetectionsWriter",
    "Detector",
    "DetectorOptions",
    "load_detections",
    "make_detector",
    "provenance",
    "reuse_obstacle",
]
