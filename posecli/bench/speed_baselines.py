"""What the parts of posecli are timed beside: the least that could do such work, without claim to do it well."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from posecli.detect.blazepose_networks import LANDMARK_SIZE, _interpreter
from posecli.media import open_media
from posecli.media.write import VideoWriter
from posecli.skeleton import H36M17, Skeleton
from posecli.weights.fetch import blazepose_files

WIDTH = 1024
"""Of the plain network's hidden layers, as in Martinez et al. (ICCV 2017)."""


@dataclass(frozen=True)
class PlainConfig:
    frames: int

    def to_dict(self) -> dict[str, Any]:
        return {"frames": self.frames, "width": WIDTH}


class PlainNetwork(nn.Module):
    """A `methods.base.Lifter` of three linear layers over all joints of all frames of a window, ReLU between them;
    for one frame the baseline of Martinez et al. (ICCV 2017) without its residual blocks. Never trained."""

    skeleton: Skeleton = H36M17

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.config = PlainConfig(frames)
        inputs = frames * self.skeleton.num_joints
        self.layers = nn.Sequential(
            nn.Linear(2 * inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 3 * inputs)
        )  # fmt: skip

    @property
    def window(self) -> int:
        return self.config.frames

    @torch.no_grad()
    def lift_windows(self, x2d: Tensor, *, hypotheses: int, steps: int, generator: torch.Generator) -> Tensor:
        """See `methods.base.Lifter`; nothing is random."""
        pose = self.layers(x2d.flatten(1)).view(*x2d.shape[:3], 3)
        pose = pose - pose[..., self.skeleton.root, None, :]
        return pose[:, None].expand(-1, hypotheses, -1, -1, -1)


class LandmarkNetworkAlone:
    """BlazePose's landmark network on one and the same picture, run by LiteRT and by nothing of posecli's: no person
    detector, no crop, nothing read out."""

    def __init__(self, threads: int, *, offline: bool) -> None:
        self._network = _interpreter(blazepose_files(offline=offline).landmark, threads)
        picture = np.random.default_rng(0).random((1, LANDMARK_SIZE, LANDMARK_SIZE, 3), dtype=np.float32)
        self._network.set_tensor(int(self._network.get_input_details()[0]["index"]), picture)

    def __call__(self, times: int) -> None:
        for _ in range(times):
            self._network.invoke()


def encoded_again(video: Path, target: Path, frames: int) -> None:
    """The first pictures of a video, decoded and encoded as `posecli.export.video` does, with nothing drawn."""
    source = open_media(video)
    with VideoWriter(target, (source.info.width, source.info.height)) as writer:
        for count, frame in enumerate(source, start=1):
            writer.write(frame.image, frame.time_s)
            if count == frames:
                break
