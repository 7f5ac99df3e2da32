"""Cut the few seconds of motion that `posecli demo` renders out of the corpus, and store them with the package.

    python scripts/make_demo_motion.py corpus.h5

The clip is of a test subject (02): no weights are trained or chosen on it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from posecli.corpus.store import ACKNOWLEDGEMENT, load_corpus, resample

SUBJECT, TRIAL, START_S, SECONDS, FPS = 2, 6, 3.0, 6.0, 30.0
VIEW_DEG = 25.0  # the person faces this far beside the camera in the mean


def main(corpus: Path) -> None:
    clip = next(c for c in load_corpus(corpus, "test") if (c.subject, c.trial) == (SUBJECT, TRIAL))
    points = resample(clip.points, clip.fps, FPS)
    points = points[round(START_S * FPS) :][: round(SECONDS * FPS)]
    left = (points[:, 4] - points[:, 1]).mean(axis=0)
    heading = np.arctan2(-left[2], left[0])  # 0 when the person faces +z, left at +x
    turn = np.radians(VIEW_DEG) - heading
    c, s = np.cos(turn), np.sin(turn)
    points = points @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T
    folder = Path(__file__).resolve().parents[1] / "posecli" / "assets"
    np.save(folder / "demo_motion.npy", np.round(points * 1000).astype(np.int16))
    about = {
        "fps": FPS,
        "description": f"CMU subject {SUBJECT:02d} trial {TRIAL:02d}, {clip.description}",
        "acknowledgement": ACKNOWLEDGEMENT,
    }
    (folder / "demo_motion.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
