"""Accuracy of the whole pipeline on real clips with marker-based truth, beside MediaPipe's own 3D.

    python scripts/accuracy_clips.py ../shared/data/videos/opencap_STS ../shared/data/videos/opencap_walk_ts

Each folder holds `video.mp4` and `ref.npz` (see `posecli.bench.clips`). MediaPipe's figures are of the world
landmarks that the same landmark network gave on the same frames, unsmoothed, not of its package.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from posecli.bench.clips import load_truth, score
from posecli.detect import DETECTORS
from posecli.lifting import LiftConfig, lift_keypoints
from posecli.media import open_media
from posecli.pipeline import versions
from posecli.weights import store
from posecli.weights.format import load_weights


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--method", default="ddhpose")
    parser.add_argument("--weights")
    parser.add_argument("-H", "--hypotheses", type=int, default=1)
    parser.add_argument("-W", "--steps", type=int, default=1)
    parser.add_argument("--overlap", type=float, default=LiftConfig.overlap)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    weights = store.find(options.method, options.weights)
    _, lifter, metadata = load_weights(weights)
    config = LiftConfig(hypotheses=options.hypotheses, steps=options.steps, overlap=options.overlap)
    rows = {}
    for folder in options.clips:
        frames = open_media(folder / "video.mp4")
        detector = DETECTORS["blazepose"]()
        keypoints = detector.detect(frames, (frames.info.width, frames.info.height))
        motion = lift_keypoints(keypoints, lifter, config, rate=float(metadata["rate_hz"]))
        truth = load_truth(folder / "ref.npz")
        world = keypoints.to_h36m17().world
        assert world is not None
        rows[folder.name] = {
            "posecli": asdict(score(motion.joints_3d, truth)),
            "mediapipe_world": asdict(score(world, truth)),
        }
        for name, row in rows[folder.name].items():
            print(f"{folder.name:<18} {name:<16} PA-MPJPE {row['pa_mpjpe_mm']:6.1f}  "
                  f"root-relative {row['root_mpjpe_mm']:6.1f} mm  ({row['frames']} frames)")  # fmt: skip
    made_by = {
        "weights": weights.name, "weights_sha256": store.sha256(weights), "versions": versions(), "device": "cpu",
        "config": asdict(config), "method": options.method,
    }  # fmt: skip
    print(
        f"{made_by['weights']} {made_by['weights_sha256'][:16]}, H={options.hypotheses} W={options.steps}, cpu"
    )
    if options.json:
        options.json.write_text(json.dumps({"made_by": made_by, "clips": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
