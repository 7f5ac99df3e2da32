"""What is taken where the user names nothing. Kept apart so that `posecli --help` imports next to nothing."""

from __future__ import annotations

from pathlib import Path

METHOD = "ddhpose"
DETECTOR = "blazepose"
PERSON = "largest"
OUT = Path("posecli_out")
EXPORT = "npz,bvh,mp4"
