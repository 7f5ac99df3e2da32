"""2D keypoints that other tools found: one reader per family of formats, one way to what lifting takes."""

from __future__ import annotations

from posecli.detect.foreign.load import FORMATS, Timing, guess, load_foreign, load_people

__all__ = ["FORMATS", "Timing", "guess", "load_foreign", "load_people"]
