"""Our BlazePose beside the `mediapipe` package it comes from, against motion capture, on the same frames.

    python scripts/compare_mediapipe.py                       # both clips of the shared data
    python scripts/compare_mediapipe.py --venv /tmp/mp        # keep the separate environment there

`mediapipe==0.10.21` (about 660 MB, numpy<2) is installed into a virtual environment of its own on first use.
Every frame is decoded once, by posecli, and handed to both. Printed per clip: frames with a person; median
distance in the image to the projected motion capture over the 12 limb joints; PA-MPJPE and root-relative
MPJPE (mm) of the world landmarks over the same joints. Ends with status 1 if our median is more than 0.5 px
worse, or a person is found in fewer frames.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np

CLIPS = ("opencap_STS", "opencap_walk_ts")
TOLERANCE_PX = 0.5
ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("POSECLI_SHARED_DATA", ROOT.parent / "shared" / "data"))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds videos/")
    parser.add_argument(
        "--venv", type=Path, default=ROOT.parent / "env" / "mp", help="environment of mediapipe"
    )
    parser.add_argument("--no-smooth", action="store_true", help="mediapipe without its temporal filter")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    python = environment(options.venv)
    passed = True
    print(f"{'clip':16} {'':9} {'found':>9} {'median px':>10} {'PA-MPJPE':>9} {'MPJPE mm':>9}")
    for clip in CLIPS:
        video, truth = (options.data / "videos" / clip / name for name in ("video.mp4", "ref.npz"))
        with np.load(truth, allow_pickle=False) as file:
            reference = {key: file[key] for key in ("uv_px", "valid", "in_image", "joints_cam_mm")}
        rows = {
            "mediapipe": score(*run_mediapipe(python, video, smooth=not options.no_smooth), reference),
            "posecli": score(*run_posecli(video, options.threads), reference),
        }
        for who, (found, total, pixels, pa, mpjpe) in rows.items():
            print(f"{clip:16} {who:9} {found:4}/{total:4} {pixels:10.2f} {pa:9.1f} {mpjpe:9.1f}")
        theirs, ours = rows["mediapipe"], rows["posecli"]
        passed &= ours[0] >= theirs[0] and ours[2] <= theirs[2] + TOLERANCE_PX
    print("passed" if passed else "FAILED")
    return 0 if passed else 1


def environment(folder: Path) -> Path:
    """Python of the virtual environment that holds mediapipe; made if it is not there."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    if subprocess.run([python, "-c", "import mediapipe"], capture_output=True, check=False).returncode:
        subprocess.run([python, "-m", "pip", "install", "--quiet", "mediapipe==0.10.21"], check=True)
    return python


def run_posecli(video: Path, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Joints (T, 33, 2) pixels and world landmarks (T, 33, 3) metres, NaN where nobody was found."""
    from posecli.detect import BlazePose
    from posecli.media import open_media

    frames = open_media(video)
    keypoints = BlazePose(threads=threads).detect(frames, (frames.info.width, frames.info.height))
    assert keypoints.world is not None
    return keypoints.xy, keypoints.world


def run_mediapipe(python: Path, video: Path, *, smooth: bool) -> tuple[np.ndarray, np.ndarray]:
    """The same from the package, in its own process; frames go through a pipe."""
    from posecli.media import open_media

    frames = open_media(video)
    width, height = frames.info.width, frames.info.height
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "landmarks.npy"
        command = [python, __file__, "--worker", str(width), str(height), str(int(smooth)), str(output)]
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert worker.stdin is not None
        for frame in frames:
            worker.stdin.write(np.ascontiguousarray(frame.image[..., ::-1]).tobytes())
        worker.stdin.close()
        if worker.wait():
            raise SystemExit(f"the mediapipe worker ended with status {worker.returncode}")
        rows = np.load(output, allow_pickle=False)
    return rows[..., :2], rows[..., 2:]


def worker(width: int, height: int, smooth: bool, output: str) -> None:
    """In mediapipe's environment: RGB frames on standard input → (T, 33, 5) pixels and world landmarks."""
    import mediapipe  # type: ignore[import-not-found]

    rows = []
    with mediapipe.solutions.pose.Pose(model_complexity=1, smooth_landmarks=smooth) as pose:
        while data := sys.stdin.buffer.read(width * height * 3):
            result = pose.process(np.frombuffer(data, np.uint8).reshape(height, width, 3))
            row = np.full((33, 5), np.nan)
            if result.pose_landmarks is not None:
                row[:, :2] = [(p.x * width, p.y * height) for p in result.pose_landmarks.landmark]
                row[:, 2:] = [(p.x, p.y, p.z) for p in result.pose_world_landmarks.landmark]
            rows.append(row)
    np.save(output, np.array(rows).reshape(-1, 33, 5))


def score(
    xy: np.ndarray, world: np.ndarray, reference: dict[str, np.ndarray]
) -> tuple[int, int, float, float, float]:
    """Frames found, frames, median distance (px), PA-MPJPE and root-relative MPJPE (mm)."""
    from posecli.skeleton import BLAZEPOSE33, LIMBS, to_h36m17

    limbs = list(LIMBS)
    found = np.isfinite(xy).all(axis=(1, 2))
    valid, in_image = reference["valid"], reference["in_image"][:, limbs]
    valid = np.broadcast_to(valid[:, None], in_image.shape) if valid.ndim == 1 else valid[:, limbs]
    pixels = np.linalg.norm(to_h36m17(xy, BLAZEPOSE33) - reference["uv_px"], axis=-1)[:, limbs]
    guess = to_h36m17(world * 1000, BLAZEPOSE33)[found]
    truth = reference["joints_cam_mm"][found]
    guess, truth = ((p - p[:, [1, 4]].mean(axis=1, keepdims=True))[:, limbs] for p in (guess, truth))
    whole = valid[found].all(axis=1) & np.isfinite(truth).all(axis=(1, 2))
    guess, truth = guess[whole], truth[whole]
    return (
        int(found.sum()),
        len(found),
        float(np.median(pixels[valid & in_image & found[:, None]])),
        float(np.linalg.norm(align(guess, truth) - truth, axis=-1).mean()),
        float(np.linalg.norm(guess - truth, axis=-1).mean()),
    )


def align(guess: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Each frame of guess (T, J, 3) after the similarity that brings it nearest to truth (Umeyama 1991)."""
    g_mean, t_mean = guess.mean(axis=1, keepdims=True), truth.mean(axis=1, keepdims=True)
    g, t = guess - g_mean, truth - t_mean
    u, s, vt = np.linalg.svd(np.einsum("tji,tjk->tik", g, t))
    flip = np.ones_like(s)
    flip[:, -1] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * flip[:, None]) @ vt
    scale = (s * flip).sum(axis=1) / (g**2).sum(axis=(1, 2))
    return scale[:, None, None] * (g @ rotation) + t_mean


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(int(sys.argv[2]), int(sys.argv[3]), bool(int(sys.argv[4])), sys.argv[5])
    else:
        sys.exit(main())
