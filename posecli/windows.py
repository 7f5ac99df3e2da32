"""Windows over a stretch of motion: cut, looked at by a camera turned to the person, lifted, blended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from posecli.diffusion.noise import Noise
from posecli.errors import InputError
from posecli.facing import face_windows
from posecli.grid_clouds import GridClouds
from posecli.methods.base import DrawsNoise, HeatmapLifter, Lifter
from posecli.uncertainty import Uncertainty

Array = NDArray[np.float64]

_BLOCK = 64  # frames of noise drawn at once
_CLOUDS_AT_ONCE = 1 << 19  # places of a joint, over frames, per network call: 70 MB for 17 joints


def window_starts(frames: int, window: int, overlap: float) -> list[int]:
    """First frames of the windows that cover a clip; the last window ends with the clip."""
    if frames <= window:
        return [0]
    stride = max(1, round(window * (1 - overlap)))
    starts = list(range(0, frames - window, stride))
    return [*starts, frames - window]


def lift_grid(
    flat: Array,
    starts: Sequence[int],
    lifter: Lifter,
    uncertainty: Uncertainty,
    *,
    hypotheses: int,
    steps: int,
    batch: int,
    seed: Sequence[int],
    size_exponent: float = 0.0,
    clouds: GridClouds | None = None,
    alone: bool = False,
    progress: Callable[[int], None],
) -> tuple[Array, Array]:
    """Lift rays (G, 17, 2) on a uniform grid, in windows that begin at `starts`.

    batch: frames times hypotheses per network call. seed: numbers that name this stretch's noise.
    size_exponent: the one that the lifter was trained with (`posecli.facing.face_windows`).
    clouds: where the joints may be, for a `HeatmapLifter`. progress: called with the number of windows done.
    Returns hypotheses (G, H, 17, 3) and the standard deviation of their mean's error (alone: of the first one's)
    (G, 17, 3), metres, in the real camera's frame. Raises InputError where the network's answer is not finite.
    """
    window, frames, joints = lifter.window, len(flat), flat.shape[1]
    # A clip shorter than the window is played forth and back until it is long enough.
    padded = np.pad(flat, ((0, max(0, window - frames)), (0, 0), (0, 0)), mode="symmetric")
    # Half-sample offset: no weight is ever zero, so the first and last frames of a clip count as well.
    fade = np.sin(np.pi * (np.arange(window) + 0.5) / window)[:, None, None] ** 2
    total = np.zeros((len(padded), hypotheses, joints, 3))
    variance = np.zeros((len(padded), joints, 3))
    weight = np.zeros((len(padded), 1, 1))
    ask = _Lifting(lifter, hypotheses, steps, seed)
    per_call = max(1, batch // (window * hypotheses))
    if clouds is not None:
        per_call = max(1, min(per_call, _CLOUDS_AT_ONCE // (window * clouds.size)))
    for first in range(0, len(starts), per_call):
        chosen = starts[first : first + per_call]
        cut = torch.from_numpy(np.stack([padded[s : s + window] for s in chosen])).float()
        faced = face_windows(cut, size_exponent)
        cloud = None if clouds is None else faced.see(clouds.of(chosen, window))
        answer = ask(faced.x2d, chosen, cloud)  # (b, H, window, 17, 3)
        camera = faced.to_camera(answer).numpy()
        if not np.isfinite(camera).all():
            raise InputError("the network's answer is not finite: its weights are damaged; fetch them again")
        # Diagonal of R diag(std²) Rᵀ: the error is known along the turned camera's axes.
        turn = faced.rotation.numpy().astype(np.float64)
        std = uncertainty.std(faced.x2d.numpy(), (answer[:, :1] if alone else answer).numpy())
        turned = np.einsum("bij,btkj->btki", turn**2, std**2)
        for row, start in enumerate(chosen):
            at = slice(start, start + window)
            total[at] += camera[row].swapaxes(0, 1) * fade[..., None]
            variance[at] += turned[row] * fade
            weight[at] += fade
        progress(first + len(chosen))
    return (total / weight[..., None])[:frames], np.sqrt(variance / weight)[:frames]


class ClipNoise:
    """Standard normal numbers that belong to the frames of a clip, whichever window asks for them.

    Windows that overlap see the same noise where they do, so that a hypothesis is one motion through the whole
    clip, and how windows are put into batches changes nothing. Every block of frames is drawn from a seed of its
    own: nothing has to be kept.
    """

    def __init__(self, seed: Sequence[int]) -> None:
        self.seed = tuple(seed)

    def of(self, starts: Sequence[int], device: torch.device) -> Noise:
        """Noise for windows at `starts`: asked for (B, H, T, ...), as samplers do, one draw after the other. The first
        hypotheses are the same however many there are."""
        draws = 0

        def draw(shape: tuple[int, ...]) -> Tensor:
            nonlocal draws
            draws += 1
            _, hypotheses, frames, *rest = shape
            first, last = min(starts) // _BLOCK, (max(starts) + frames - 1) // _BLOCK
            along = torch.cat(
                [
                    torch.stack([self._block(rest, draws, k, h) for h in range(hypotheses)])
                    for k in range(first, last + 1)
                ],
                dim=1,
            )
            at = torch.tensor(starts)[:, None] + torch.arange(frames) - first * _BLOCK
            return along[:, at].movedim(0, 1).to(device)

        return draw

    def _block(self, shape: Sequence[int], draw: int, block: int, hypothesis: int) -> Tensor:
        """A block of frames (_BLOCK, ...) of one hypothesis and one draw."""
        name = [*self.seed, draw, block, *([hypothesis] if hypothesis else [])]
        entropy = np.random.SeedSequence(name).generate_state(1, np.uint64)
        return torch.randn(_BLOCK, *shape, generator=torch.Generator().manual_seed(int(entropy[0]) >> 1))


class _Lifting:
    """Asks a lifter for windows: one that draws noise as samplers do gets the clip's, another one a generator."""

    def __init__(self, lifter: Lifter, hypotheses: int, steps: int, seed: Sequence[int]) -> None:
        self.lifter, self.hypotheses, self.steps = lifter, hypotheses, steps
        self.device = _device(lifter)
        self.noise = ClipNoise(seed)
        self.seed = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]) >> 1
        self.generator = torch.Generator().manual_seed(self.seed)

    def __call__(self, x2d: Tensor, starts: Sequence[int], cloud: Tensor | None = None) -> Tensor:
        """Windows (b, T, 17, 2) at `starts`, with clouds (b, T, 17, S, 2) → poses (b, H, T, 17, 3), relative to the
        root, on the CPU."""
        x2d = x2d.to(self.device)
        with torch.inference_mode():
            if isinstance(self.lifter, DrawsNoise):
                draw = self.noise.of(starts, self.device)
                pose = self.lifter.lift_drawing(x2d, hypotheses=self.hypotheses, steps=self.steps, draw=draw)
            elif isinstance(self.lifter, HeatmapLifter):
                pose = self.lifter.lift_windows(
                    x2d,
                    hypotheses=self.hypotheses,
                    steps=self.steps,
                    generator=torch.Generator().manual_seed(self.seed),  # the same draws for all windows
                    cloud=None if cloud is None else cloud.to(self.device),
                )
            else:
                pose = self.lifter.lift_windows(
                    x2d, hypotheses=self.hypotheses, steps=self.steps, generator=self.generator
                )
        return pose.float().cpu()


def _device(lifter: Lifter) -> torch.device:
    """Where the lifter's weights lie; one without weights works on the CPU."""
    parameters = lifter.parameters() if isinstance(lifter, nn.Module) else iter(())
    first = next(parameters, None)
    return torch.device("cpu") if first is None else first.device
