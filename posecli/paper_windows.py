"""How papers cut clips into windows: source frame numbers (W, T) of W windows of T frames each.

For the benches that repeat their protocols, and for methods that see a window per frame. `posecli.lifting` has its
own windows, which overlap and are blended.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.int64]


def evaluation_windows(frames: int, window: int) -> Frames:
    """Windows side by side from frame 0, and for a remainder the last `window` frames: frames in the overlap are
    evaluated twice (MixSTE, D3DP, DDHPose). A clip shorter than a window repeats its last frame.
    """
    _check(frames, window)
    starts = list(range(0, max(frames - window, 0) + 1, window))
    if frames > window and frames % window:
        starts.append(frames - window)
    return _from(starts, window, frames)


def training_chunks(frames: int, window: int) -> Frames:
    """Chunks side by side with the clip in the middle of them; both ends repeat the edge frame (VideoPose3D)."""
    return _from(training_starts(frames, window), window, frames)


def training_starts(frames: int, window: int) -> list[int]:
    """First frames of `training_chunks`, negative where the first frame is repeated before it."""
    _check(frames, window)
    count = -(-frames // window)
    offset = (count * window - frames) // 2
    return [chunk * window - offset for chunk in range(count)]


def centre_windows(frames: int, window: int, stride: int = 1) -> Frames:
    """A window around every frame, its frames `stride` apart; both ends repeat the edge frame (STCFormer)."""
    _check(frames, window)
    around = stride * (np.arange(window) - (window - 1) // 2)
    return np.clip(np.arange(frames)[:, None] + around, 0, frames - 1)


def _from(starts: list[int], window: int, frames: int) -> Frames:
    return np.clip(np.array(starts)[:, None] + np.arange(window), 0, frames - 1)


def _check(frames: int, window: int) -> None:
    if min(frames, window) < 1:
        raise ValueError(f"a clip of {frames} frames cannot be cut into windows of {window}")
