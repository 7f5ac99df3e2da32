"""From corpus motion to what a 2D detector would have said of it: training pairs without a single picture.

A window of motion is varied (mirror, speed, proportions), looked at by a random camera, and its joints are
shifted the way a detector errs. Everything is drawn from one generator, batched in torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posecli.corpus import posture, viewpoints
from posecli.corpus.detector_model import DetectorErrors, load_model, shipped_model
from posecli.corpus.landmarks_seen import H36M_FROM_SEEN, LANDMARK_NAMES, SEEN_POINTS, TWINS, twin
from posecli.corpus.store import LANDMARKS, POINT_NAMES
from posecli.corpus.viewpoints import Seen, about
from posecli.corpus.window_clouds import CloudBank, SimulatedClouds
from posecli.errors import UsageError
from posecli.facing import FacedWindows, face_windows
from posecli.methods.base import Clouds
from posecli.skeleton import H36M17

# Where each point hangs, and the group of bones whose length varies as one.
_PARENTS = (*H36M17.parents, *(10,) * 7, 6, 3, 6, 3)
_GROUPS = {
    "hips": (1, 4), "thighs": (2, 5), "shins": (3, 6), "trunk": (7, 8), "neck": (9,),
    "head": (10, *range(17, 24)), "shoulders": (11, 14), "upper arms": (12, 15), "forearms": (13, 16),
    "feet": (24, 25, 26, 27),
}  # fmt: skip


_CHOICES = {"noise": ("fitted", "guessed"), "viewpoint": ("mixed", *viewpoints.NAMES, "free")}


class MotionClip(Protocol):
    """What the simulator needs of a clip: points (F, 28, 3) metres, y up, at `fps`; whose; how much it counts."""

    @property
    def points(self) -> NDArray[np.float32]: ...
    @property
    def fps(self) -> float: ...
    @property
    def subject(self) -> int: ...
    @property
    def weight(self) -> float: ...


_SHARES = ("still", "mixed", "sitting", "reaching", "tumbling", "short", "other_rates", "size_exponent")


@dataclass(frozen=True)
class SimulatorConfig:
    """How widely motion, cameras and detector errors vary. Lengths of noise are relative to half the person's box.

    The figures are a guess at phones and webcams, not a fit.
    """

    rate: float = 30.0  # Hz, frames of a window
    size_exponent: float = 0.5  # of `posecli.facing.face_windows`; goes into the weights' metadata
    speed: tuple[float, float] = (0.75, 1.35)  # log-uniform
    still: float = 0.02  # share of windows that do not move at all: single pictures
    mixed: float = 0.25  # share of windows with another window's upper body
    sitting: float = 0.3  # share of windows bent towards sitting or crouching
    reaching: float = 0.3  # share of windows, per arm, whose hand is brought elsewhere
    tumbling: float = 0.0  # share of windows turned over as a whole, people who lie or stand on their hands
    short: float = 0.0  # share of windows played forth and back, as clips shorter than a window are lifted
    size_std: float = 0.06  # log of body size
    bone_std: float = 0.05  # log of each group's length
    viewpoint: str = (
        "mixed"  # one of `viewpoints.NAMES`, "mixed", or "free": cameras by the next six settings
    )
    distance: tuple[float, float] = (1.8, 9.0)  # metres, log-uniform
    pitch_deg: tuple[float, float] = (4.0, 8.0)  # mean and spread of looking down
    high_share: float = 0.2  # share of cameras whose pitch is uniform in `high_deg`
    high_deg: tuple[float, float] = (-20.0, 50.0)
    roll_std_deg: float = 4.0
    off_axis: tuple[float, float] = (0.45, 0.45)  # largest tangent of the person's direction, x and y
    focal_std: float = 0.15  # log of true focal length over assumed
    noise: str = "fitted"  # "fitted": `detector_model`; "guessed": by the next seven settings
    detector_model: str = ""  # what `posecli data fit` wrote, for fitted noise; without, the model that ships
    other_rates: float = 0.4  # share of windows recorded at another rate than `rate` (fitted noise only)
    constant: float = 0.014  # detector error that stays through the window
    smooth: float = 0.012  # error that wanders
    white: float = 0.005  # error of each frame alone
    burst_share: float = 0.15  # share of windows, per limb, in which the limb is lost for a while
    burst: float = 0.08
    # share of windows in which left and right legs or arms change places for a while
    swap_share: float = 0.02

    def __post_init__(self) -> None:
        for item in fields(self):
            name, value, pair = item.name, getattr(self, item.name), isinstance(item.default, tuple)
            if name in _CHOICES:
                if value not in _CHOICES[name]:
                    raise UsageError(f"{name} must be one of {', '.join(_CHOICES[name])}, not {value!r}")
                continue
            if isinstance(item.default, str):
                if not isinstance(value, str):
                    raise UsageError(f"{name} must be the name of a file, not {value!r}")
                continue
            numbers = list(value) if pair and isinstance(value, list | tuple) else [value]
            if len(numbers) != 1 + pair or not all(_is_number(n) for n in numbers):
                raise UsageError(f"{name} must be {'two numbers' if pair else 'a number'}, not {value!r}")
            share = name.endswith("share") or name in _SHARES
            if name not in ("pitch_deg", "high_deg") and (min(numbers) < 0 or (share and numbers[0] > 1)):
                raise UsageError(
                    f"{name} must {'lie in [0, 1]' if share else 'not be negative'}, not {value!r}"
                )
        for name in ("speed", "distance", "high_deg"):
            low, high = getattr(self, name)
            if low > high or (low <= 0 and name != "high_deg"):
                raise UsageError(f"{name} must be a lower and an upper limit, not {low:g}, {high:g}")
        if not 1 <= self.rate <= 1000:
            raise UsageError(f"rate must lie between 1 and 1000 Hz, not {self.rate:g}")


@dataclass(frozen=True)
class Batch:
    """Training windows: what the lifter is given, what it should answer (metres, root-relative, turned camera)."""

    x2d: Tensor  # (B, T, 17, 2)
    pose: Tensor  # (B, T, 17, 3)
    faced: FacedWindows
    flat: Tensor  # (B, T, 17, 2) before facing: x/z and y/z as the assumed camera measures them
    viewpoint: Tensor  # (B,) index into `viewpoints.NAMES`, -1 for free cameras
    clouds: Clouds | None = None  # where the detector's heatmaps put the joints, where that is known


class Simulator:
    """Draws training windows from clips.

    clips are brought to twice `config.rate` once; a subject's share of the windows goes with the square root of
    its minutes, so that much-recorded people do not drown the rest.
    device: where everything is kept and drawn; generators must be of that device.
    clouds: what the clouds of windows are taken from, for methods that start from heatmaps.
    """

    def __init__(
        self,
        clips: Sequence[MotionClip],
        window: int,
        config: SimulatorConfig | None = None,
        device: torch.device | str = "cpu",
        clouds: CloudBank | None = None,
    ) -> None:
        self.config = config or SimulatorConfig()
        self.window = window
        self.device = torch.device(device)
        self._bank = None if clouds is None else clouds.to(self.device)
        with self._there():  # new tensors are made there, here and in `draw` and `look`
            self._prepare(clips)

    def _there(self) -> AbstractContextManager[object]:
        """New tensors are made on the simulator's device. On the CPU they are anyway, and every call would pay."""
        return nullcontext() if self.device.type == "cpu" else self.device

    def _prepare(self, clips: Sequence[MotionClip]) -> None:
        self._fine_rate = 2 * self.config.rate
        pieces, weights = [], []
        minutes: dict[int, float] = {}
        for clip in clips:
            minutes[clip.subject] = minutes.get(clip.subject, 0.0) + len(clip.points) / clip.fps / 60
        for clip in clips:
            points = _resample(clip.points, clip.fps, self._fine_rate)
            pieces.append(torch.from_numpy(points).to(self.device))
            weights.append(len(points) * clip.weight / math.sqrt(max(minutes[clip.subject], 1e-6)))
        if not pieces:
            raise ValueError("no clips to draw from")
        self._lengths = torch.tensor([len(p) for p in pieces])
        self._starts = torch.cumsum(self._lengths, 0) - self._lengths
        self._points = torch.cat(pieces)
        self._subjects = torch.tensor([clip.subject for clip in clips])
        self._weights = torch.tensor(weights, dtype=torch.float64)
        self._mirror = torch.tensor([*H36M17.mirror, *(POINT_NAMES.index(twin(n)) for n in LANDMARKS)])

        self._fitted: DetectorErrors | None = None
        if self.config.noise == "fitted":
            named = self.config.detector_model
            model = load_model(Path(named)) if named else shipped_model()
            self._fitted = DetectorErrors(model, self.window, self.config.rate, self.config.other_rates)
        names = LANDMARK_NAMES
        self._seen = torch.tensor(SEEN_POINTS)
        self._to_h36m = torch.tensor(H36M_FROM_SEEN, dtype=torch.float32)
        self._twin = torch.tensor(TWINS)
        self._limbs = [
            torch.tensor([names.index(f"{side}_{a}") for a in pair])
            for side in ("left", "right")
            for pair in (("elbow", "wrist"), ("knee", "ankle"))
        ]
        self._legs = torch.tensor([any(k in n for k in ("hip", "knee", "ankle")) for n in names])
        self._arms = torch.tensor([any(k in n for k in ("shoulder", "elbow", "wrist")) for n in names])
        loose = {"wrist": 1.3, "elbow": 1.1, "hip": 1.3, "knee": 1.0, "ankle": 1.2, "shoulder": 1.0}
        self._loose = torch.tensor([next((v for k, v in loose.items() if k in n), 0.7) for n in names])

    def draw(self, batch: int, generator: torch.Generator) -> Batch:
        """`batch` windows, all randomness from `generator`."""
        return self.look(self.motion(batch, generator), generator)

    def motion(self, batch: int, generator: torch.Generator) -> Tensor:
        """Windows (B, T, 28, 3) of varied motion, metres, y up."""
        return self.motion_of(batch, generator)[0]

    def motion_of(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`motion`, and whose it is (B,)."""
        with self._there():
            config = self.config
            points, clip = self._windows(batch, generator)
            points = posture.mix_bodies(points, config.mixed, generator)
            points = posture.sit(points, config.sitting, generator)
            points = posture.reach(points, config.reaching, generator)
            if config.tumbling:  # draws nothing otherwise: runs from before it existed stay what they were
                points = posture.tumble(points, config.tumbling, generator)
            return self._vary(points, generator), self._subjects[clip]

    def look(self, points: Tensor, generator: torch.Generator) -> Batch:
        """Points (B, T, 28, 3), metres, y up → through a random camera and detector noise."""
        with self._there():
            seen = self.see(points, generator)
            landmarks = (
                self._fitted(seen, generator)
                if self._fitted is not None
                else self._err(seen.flat(seen.points[:, :, self._seen]), generator)
            )
            points = seen.points
            if self.config.short:  # draws nothing otherwise, like `tumbling`
                frame = self._forth_and_back(len(points), generator)
                landmarks, points = landmarks[frame], points[frame]
            flat = torch.einsum("ij,btjc->btic", self._to_h36m, landmarks)
            faced = face_windows(flat, self.config.size_exponent)
            joints = points[:, :, :17]
            pose = faced.from_camera(joints - joints[:, :, :1])
            clouds = None
            if self._bank is not None:
                true = seen.flat(points[:, :, self._seen])
                clouds = SimulatedClouds(self._bank, landmarks, true, faced)
            return Batch(faced.x2d, pose, faced, flat, seen.viewpoint, clouds)

    def _forth_and_back(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Index (B, 1), (B, T) of frames: some windows are only so long and then played backwards, forwards and so
        on, every end twice, as `posecli.windows.lift_grid` fills a window (numpy's "symmetric" padding)."""
        frames = torch.arange(self.window)
        lasts = torch.randint(1, self.window + 1, (batch, 1), generator=generator)
        chosen = torch.rand(batch, 1, generator=generator) < self.config.short
        lasts = torch.where(chosen, lasts, self.window)
        turn = frames % (2 * lasts)
        return torch.arange(batch)[:, None], torch.minimum(turn, 2 * lasts - 1 - turn)

    def see(self, points: Tensor, generator: torch.Generator) -> Seen:
        """Points (B, T, 28, 3), metres, y up → before random cameras."""
        with self._there():
            if self.config.viewpoint == "free":
                return self._free_cameras(points, generator)
            which = viewpoints.choose(len(points), self.config.viewpoint, generator)
            return viewpoints.look_from(points, which, generator)

    def _windows(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Windows (B, T, 28, 3) cut from random places of clips (B,) at random speeds."""
        config = self.config
        clip = torch.multinomial(self._weights, batch, replacement=True, generator=generator)
        low, high = (math.log(s) for s in config.speed)
        speed = torch.exp(low + (high - low) * torch.rand(batch, generator=generator))
        speed = torch.where(torch.rand(batch, generator=generator) < config.still, 0.0, speed)
        longest = (self._lengths[clip] - 1).float()
        step = torch.minimum(speed * self._fine_rate / config.rate, longest / (self.window - 1))
        start = torch.rand(batch, generator=generator) * (longest - step * (self.window - 1)).clamp(min=0)
        at = start[:, None] + step[:, None] * torch.arange(self.window)
        at = torch.minimum(at, longest[:, None])
        before = at.floor().long()
        after = torch.minimum(before + 1, longest[:, None].long())
        part = (at - before)[..., None, None]
        base = self._starts[clip][:, None]
        return torch.lerp(self._points[base + before], self._points[base + after], part), clip

    def _vary(self, points: Tensor, generator: torch.Generator) -> Tensor:
        """Mirror half of the windows; vary the body's size and the length of each group of bones."""
        batch, config = len(points), self.config
        mirrored = points[:, :, self._mirror] * torch.tensor([-1.0, 1.0, 1.0])
        points = torch.where(
            (torch.rand(batch, generator=generator) < 0.5)[:, None, None, None], mirrored, points
        )
        size = torch.exp(config.size_std * _normal((batch, 1), generator))
        scale = size.expand(batch, len(_PARENTS)).clone()
        for group in _GROUPS.values():
            scale[:, list(group)] *= torch.exp(config.bone_std * _normal((batch, 1), generator))
        moved = [points[:, :, 0]]
        for child, parent in list(enumerate(_PARENTS))[1:]:
            bone = points[:, :, child] - points[:, :, parent]
            moved.append(moved[parent] + bone * scale[:, child, None, None])
        return torch.stack(moved, dim=2)

    def _free_cameras(self, points: Tensor, generator: torch.Generator) -> Seen:
        """World points (y up) → the frame of a random camera that has the person in view, without a frame."""
        batch, config = len(points), self.config
        yaw = 2 * math.pi * torch.rand(batch, generator=generator)
        high = torch.rand(batch, generator=generator) < config.high_share
        pitch = config.pitch_deg[0] + config.pitch_deg[1] * _normal((batch,), generator)
        steep = config.high_deg[0] + (config.high_deg[1] - config.high_deg[0]) * torch.rand(
            batch, generator=generator
        )
        pitch = torch.deg2rad(torch.where(high, steep, pitch))
        roll = torch.deg2rad(config.roll_std_deg * _normal((batch,), generator))
        turn = about(2, roll) @ about(0, pitch) @ torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ about(1, yaw)
        centre = points[:, :, 0].mean(dim=1)[:, None, None]
        body = torch.einsum("bij,btkj->btki", turn, points - centre)

        low, far = (math.log(d) for d in config.distance)
        distance = torch.exp(low + (far - low) * torch.rand(batch, generator=generator))
        nearest = -body[..., 2].amin(dim=(1, 2)) + 0.5  # everything at least half a metre before the lens
        aim = torch.tensor(config.off_axis) * (2 * torch.rand(batch, 2, generator=generator) - 1)
        ray = torch.nn.functional.normalize(torch.cat([aim, torch.ones(batch, 1)], -1), dim=-1)
        distance = torch.maximum(distance, nearest / ray[:, 2])
        zoom = torch.exp(config.focal_std * _normal((batch,), generator))
        return Seen(
            points=body + (ray * distance[:, None])[:, None, None], zoom=zoom, half=torch.full((batch, 2), torch.inf),
            up=turn[:, :, 1], viewpoint=torch.full((batch,), -1),
        )  # fmt: skip

    def _err(self, flat: Tensor, generator: torch.Generator) -> Tensor:
        """Add a detector's errors to its joints (B, T, D, 2)."""
        batch, frames, joints, _ = flat.shape
        config = self.config
        low, high = flat.amin(dim=(1, 2)), flat.amax(dim=(1, 2))
        box = ((high - low) / 2).amax(dim=-1)[:, None, None, None]
        # How bad a window is: gamma with shape 2 and mean 1, the sum of two exponentials.
        badness = -torch.rand(batch, 2, generator=generator).clamp(min=1e-6).log().sum(-1) / 2
        size = badness[:, None, None, None] * self._loose[:, None]
        error = config.constant * size * _normal((batch, 1, joints, 2), generator)
        error = error + config.smooth * size * _wander(batch, frames, joints, generator)
        error = error + config.white * size * _normal(flat.shape, generator)
        for limb in self._limbs:
            lost = (torch.rand(batch, generator=generator) < config.burst_share)[:, None, None, None]
            when = _span(batch, frames, generator)[:, :, None, None]
            drift = config.burst * _wander(batch, frames, len(limb), generator)
            error[:, :, limb] += torch.where(lost, when * drift, 0.0)
        swapped = (torch.rand(batch, generator=generator) < config.swap_share)[:, None]
        legs = (torch.rand(batch, generator=generator) < 0.5)[:, None, None]
        when = (_span(batch, frames, generator) > 0.5) & swapped
        which = torch.where(legs, self._legs, self._arms)  # (B, 1, D)
        flat = torch.where((when[:, :, None] & which)[..., None], flat[:, :, self._twin], flat)
        return flat + box * error


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=generator)


def _wander(batch: int, frames: int, joints: int, generator: torch.Generator, every: int = 6) -> Tensor:
    """Smooth noise (B, T, J, 2) of about unit variance: random knots every few frames, joined by straight lines."""
    knots = _normal((batch, joints * 2, frames // every + 2), generator)
    lines = torch.nn.functional.interpolate(knots, size=frames, mode="linear", align_corners=True)
    return lines.transpose(1, 2).reshape(batch, frames, joints, 2) * 1.2


def _span(batch: int, frames: int, generator: torch.Generator) -> Tensor:
    """(B, T): 1 inside a random stretch of the window, 0 outside."""
    ends = torch.rand(batch, 2, generator=generator).mul(1.6).sub(0.3).sort(dim=-1).values * frames
    time = torch.arange(frames)
    return ((time >= ends[:, :1]) & (time < ends[:, 1:])).float()


def _resample(points: NDArray[np.float32], fps: float, rate: float) -> NDArray[np.float32]:
    """Points at `fps` → at `rate`, by straight lines between frames."""
    count = max(int((len(points) - 1) / fps * rate) + 1, 2)
    at = np.minimum(np.arange(count) * fps / rate, len(points) - 1)
    before = np.floor(at).astype(int)
    after = np.minimum(before + 1, len(points) - 1)
    part = (at - before)[:, None, None].astype(np.float32)
    return points[before] * (1 - part) + points[after] * part
