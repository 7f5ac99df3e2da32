"""A detector's errors as numbers: fitted to the paired set (`detector_fit`), drawn again by `DetectorErrors`.

Lengths are in units of half the person's standing height as it looks at the person's distance (`body_views`):
of three units tried (that one, half the box of the window, half the box of the frame) errors vary least in it.
For landmark d at frame t of window w

    error = factor · bias + spread · scale · z - pull · beyond + burst

bias     a fixed step in the axes of the body part (outwards, up, forward), one for each of 1, how much the part
         faces the camera, how near its side is, how hidden it is. Part of it is the mannequin's own flesh, which
         no real person wears: `factor` is drawn anew for each kind of joint and window, uniform in `FACTOR`,
         and everybody's anatomy differs by `ANATOMY`.
spread   by kind of joint: in sight, hidden, outside the picture (there it grows with the distance); more for
         people who lean, lie or stand on their heads.
scale    log-normal: a part common to the window, one to the limb, one to the joint.
z        Gaussian, correlated between joints and in time (see `correlations`).
pull     outside the picture landmarks are drawn back towards it.
burst    now and then a limb is lost for a while.

Then sides change places for a while, and frames are missed and bridged as lifting bridges them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posecli import resample
from posecli.corpus.body_views import view
from posecli.corpus.landmarks_seen import LANDMARK_NAMES, TWINS
from posecli.corpus.viewpoints import Seen
from posecli.errors import InputError

KINDS = ("nose", "eye", "ear", "mouth", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
KIND = [next(k for k, kind in enumerate(KINDS) if kind in name) for name in LANDMARK_NAMES]
GATES = ("always", "front", "near", "hidden")
STATES = ("in sight", "hidden", "outside")
SMOOTH_S, ROUGH_S = (0.04, 0.08, 0.16, 0.35, 0.8), (0.1, 0.5)
"""Time constants of what correlations in time are made of: bells, and exponentials."""
FACTOR = (0.0, 1.3)  # least and most of the fitted bias that a window gets
ANATOMY = 0.012  # units; where bodies and markers differ from one person to the next: a judgement, not fitted


def correlations(lag: NDArray[np.floating]) -> NDArray[np.float64]:
    """Correlation (9, ...) at `lag` seconds (...): constant, bells, exponentials, white."""
    lag = np.abs(np.asarray(lag, dtype=np.float64))
    bells = [np.exp(-((lag / s) ** 2) / 2) for s in SMOOTH_S]
    return np.stack([np.ones_like(lag), *bells, *(np.exp(-lag / s) for s in ROUGH_S), (lag < 1e-9) * 1.0])


def _limb_of(name: str) -> int:
    """0 for the face, else which arm (with its shoulder) or leg (with its hip)."""
    arm = any(key in name for key in ("shoulder", "elbow", "wrist"))
    leg = any(key in name for key in ("hip", "knee", "ankle"))
    return (arm + 2 * leg) + 2 * (arm or leg) * ("right" in name)


LIMB = [_limb_of(name) for name in LANDMARK_NAMES]
"""Face 0, left arm 1, left leg 2, right arm 3, right leg 4."""
LOST_LIMBS = tuple(
    (LANDMARK_NAMES.index(f"{side}_{a}"), LANDMARK_NAMES.index(f"{side}_{b}"))
    for side in ("left", "right")
    for a, b in (("elbow", "wrist"), ("knee", "ankle"))
)
LEGS, ARMS = ("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")
SWAPPED = (LEGS, ARMS, LEGS + ARMS)  # what changes sides together

RATES_HZ = (15.0, 20.0, 24.0, 25.0, 50.0, 60.0)
"""Frame rates of sources that are not recorded at the lifter's own."""
_MOST_BYTES = 1 << 22
_PHASES = 3
_SLOT_S = 0.4  # at most one event of a sort in so long a stretch


@dataclass(frozen=True)
class DetectorModel:
    """The fitted numbers; see the module. K = 10 kinds of joints in the order of `KINDS`.

    bias: (K, 4, 3) by `GATES`, along outwards, up, forward.
    spread: (K, 3) by `STATES`, standard deviation per coordinate. spread_beyond: more of it per unit of distance
        outside. pull: share of that distance. tilt: growth of the logarithm of all spreads for every 60 degrees
        that the trunk leans beyond 30.
    scale: standard deviations of the logarithm common to window, limb, joint.
    time: (K, 9) variances (they sum to one) of what `correlations` gives. joints: (19, 19) correlation.
    swap_rate: swaps in a second of legs, of arms, of both at once; swap_s: mean duration.
    miss_rate: gaps in a second; miss_s: mean duration.
    uneven: standard deviation of the logarithm of a window's own rate of bursts and swaps: most have none, some
        have many.
    burst_rate: in a second and limb; burst_s: mean duration; burst_size: median and standard deviation of the
        logarithm of how far the end of the limb is off; burst_middle: elbow or knee in relation to it.
    scores: (K, 3, 3) quartiles of BlazePose's score by `STATES`. spread_by_score: (K, 4) as spread, for scores up
        to 0.25, 0.5, 0.75, 1. heatmaps: (K, 4, 6) by the same scores: mean and spread of the logarithm of the
        mass (cells), the peak (probability) and the standard deviation (cells); 0 where seldom seen.
    source: what it was fitted to.
    """

    bias: tuple[Any, ...]
    spread: tuple[Any, ...]
    spread_beyond: float
    pull: float
    tilt: float
    scale: tuple[float, float, float]
    time: tuple[Any, ...]
    joints: tuple[Any, ...]
    swap_rate: tuple[float, float, float]
    swap_s: float
    miss_rate: float
    miss_s: float
    uneven: float
    burst_rate: float
    burst_s: float
    burst_size: tuple[float, float]
    burst_middle: float
    scores: tuple[Any, ...]
    spread_by_score: tuple[Any, ...]
    heatmaps: tuple[Any, ...]
    source: str = ""

    def __post_init__(self) -> None:
        k, d = len(KINDS), len(LANDMARK_NAMES)
        times = len(SMOOTH_S) + len(ROUGH_S) + 2
        shapes = {
            "bias": (k, len(GATES), 3), "spread": (k, len(STATES)), "time": (k, times), "joints": (d, d),
            "scale": (3,), "swap_rate": (3,), "burst_size": (2,), "scores": (k, 3, 3), "spread_by_score": (k, 4),
            "heatmaps": (k, 4, 6),
        }  # fmt: skip
        for item in fields(self):
            if item.name == "source":
                continue
            value = np.asarray(getattr(self, item.name), dtype=np.float64)
            if value.shape != shapes.get(item.name, ()) or not np.isfinite(value).all():
                raise ValueError(f"{item.name} must be finite numbers of shape {shapes.get(item.name, ())}")
            if item.name not in ("bias", "joints", "pull", "burst_size", "heatmaps") and (value < 0).any():
                raise ValueError(f"{item.name} must not be negative")

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Undo `to_dict`; raises InputError where something is missing or makes no sense."""
        try:
            return cls(**{key: _tuples(value) for key, value in values.items()})
        except (TypeError, ValueError) as error:
            raise InputError(f"these are not the numbers of a detector model: {error}") from error


def excess_tilt(tilt: Tensor) -> Tensor:
    """Radians (...) → by how many times 60 degrees a trunk leans beyond 30 degrees."""
    return (tilt - math.pi / 6).clamp(min=0) / (math.pi / 3)


def shipped_model() -> DetectorModel:
    """BlazePose's errors, as fitted to our paired set."""
    text = (files("posecli") / "assets" / "detector_model.json").read_text(encoding="utf-8")
    return DetectorModel.from_dict(json.loads(text))


def load_model(path: Path) -> DetectorModel:
    """What `posecli data fit` wrote to `path`. Raises InputError where it did not, or where the file is missing."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is far too large")
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it holds no table")
        return DetectorModel.from_dict(values)
    except OSError as error:
        raise InputError(f"cannot read the detector model {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError, InputError) as error:
        raise InputError(f"{path} is no detector model of `posecli data fit`: {error}") from None


class DetectorErrors:
    """Draws what the detector would have said of windows of `frames` frames at `rate` Hz.

    other_rates: share of windows whose source was recorded at one of `RATES_HZ`. Tensors are made on the default
    device: build and call inside `with device:`.
    """

    def __init__(
        self, model: DetectorModel, frames: int, rate: float = 30.0, other_rates: float = 0.0
    ) -> None:
        self.model, self.frames, self.rate, self.other_rates = model, frames, rate, other_rates
        kind = torch.tensor(KIND)
        self._kind = kind
        self._bias = torch.tensor(model.bias)  # (K, 4, 3)
        self._spread = torch.tensor(model.spread)[kind]  # (D, 3)
        self._mix = _tensor(_root(np.array(model.joints)))
        self._limb = torch.tensor(LIMB)
        self._twin = torch.tensor(TWINS)
        self._swapped = torch.tensor(
            [[any(k in n for k in keys) for n in LANDMARK_NAMES] for keys in SWAPPED]
        )
        self._lost = torch.tensor(LOST_LIMBS)
        self._burst_rate = torch.full((len(LOST_LIMBS),), model.burst_rate)
        self._swap_rate = torch.tensor(model.swap_rate)
        self._miss_rate = torch.tensor([model.miss_rate])
        # Landmarks of a kind share their correlation in time: (K, 2) landmarks, the nose twice.
        members = [[d for d, k in enumerate(KIND) if k == kind] for kind in range(len(KINDS))]
        self._members = torch.tensor([[m[0], m[-1]] for m in members])
        self._place = torch.tensor([2 * k + (members[k].index(d)) for d, k in enumerate(KIND)])
        sources = [(rate, 0.0), *((r, p / _PHASES) for r in RATES_HZ for p in range(_PHASES))]
        carried, colours = zip(*(_through(r, p, frames, rate, model) for r, p in sources), strict=True)
        self._carried = _tensor(np.stack(carried))  # (R, T, T)
        self._colours = _tensor(np.stack(colours))  # (R, K, T, T)

    def __call__(self, seen: Seen, generator: torch.Generator) -> Tensor:
        """Windows before cameras → landmarks (B, T, 19, 2), flat coordinates."""
        model, batch = self.model, len(seen.points)
        views = view(seen, every=5)
        gates = (torch.ones_like(views.front), views.front, views.near, views.hidden)
        low, high = FACTOR
        factor = low + (high - low) * torch.rand(batch, len(KINDS), 1, 1, generator=generator)
        bias = (factor * self._bias)[:, self._kind]  # (B, D, 4, 3)
        bias[:, :, 0] += ANATOMY * _normal((batch, len(KINDS), 3), generator)[:, self._kind]
        # (B, T, D, 3); sums over so short an axis are faster written out
        step = torch.zeros_like(seen.points[:, :, : len(KIND)])
        for g, gate in enumerate(gates):
            step = step + gate[..., None] * bias[:, None, :, g]
        error = step[..., :1] * views.axes[..., 0, :]
        for axis in (1, 2):
            error = error + step[..., axis, None] * views.axes[..., axis, :]

        distance = torch.hypot(views.beyond[..., 0], views.beyond[..., 1])
        spread = torch.lerp(self._spread[:, 0], self._spread[:, 1], views.hidden)
        spread = torch.where(distance > 0, self._spread[:, 2] + model.spread_beyond * distance, spread)
        spread = spread * torch.exp(model.tilt * excess_tilt(views.tilt))[..., None]
        scales = [_normal((batch, n), generator) for n in (1, 5, len(KIND))]
        window, limb, joint = (s * g for s, g in zip(model.scale, scales, strict=True))
        scale = torch.exp(window + limb[:, self._limb] + joint)

        source = self._sources(batch, generator)
        place = views.flat + views.unit * (error - model.pull * views.beyond)
        place = (self._carried[source] @ place.flatten(2)).reshape(place.shape)
        noise = (spread * scale[:, None])[..., None] * self._coloured(source, generator)
        uneven = model.uneven
        troubled = torch.exp(uneven * _normal((batch, 1), generator) - uneven**2 / 2)  # mean 1
        place = place + views.unit * (noise + self._bursts(troubled, generator))
        return self._bridge(self._swap(place, troubled, generator), generator)

    def _sources(self, batch: int, generator: torch.Generator) -> Tensor:
        """Which frame rate and phase (B,)."""
        other = torch.rand(batch, generator=generator) < self.other_rates
        which = torch.randint(1, len(self._carried), (batch,), generator=generator)
        return torch.where(other, which, 0)

    def _coloured(self, source: Tensor, generator: torch.Generator) -> Tensor:
        """Unit noise (B, T, D, 2), correlated between joints and in time."""
        batch, kinds = len(source), len(KINDS)
        white = _normal((batch, self.frames, 2, len(KIND)), generator) @ self._mix
        paired = white[..., self._members]  # (B, T, 2, K, 2)
        paired = paired.permute(0, 3, 1, 2, 4).flatten(3)  # (B, K, T, 4)
        coloured = (self._colours[source] @ paired).reshape(batch, kinds, self.frames, 2, 2)
        return coloured.permute(0, 2, 1, 4, 3).flatten(2, 3)[:, :, self._place]

    def _bursts(self, troubled: Tensor, generator: torch.Generator) -> Tensor:
        """Displacements (B, T, D, 2) of limbs that are lost for a while."""
        when = self._episodes(troubled * self._burst_rate, self.model.burst_s, generator)  # (B, L, S, T)
        median, spread = self.model.burst_size
        size = median * torch.exp(spread * _normal(when.shape[:3], generator))
        angle = 2 * math.pi * torch.rand(*when.shape[:3], generator=generator)
        arrow = torch.stack([size * angle.cos(), size * angle.sin()], dim=-1)  # (B, L, S, 2)
        moved = (when.transpose(2, 3).float() @ arrow).transpose(1, 2)  # (B, T, L, 2)
        out = torch.zeros(len(troubled), self.frames, len(KIND), 2)
        out[:, :, self._lost[:, 0]] = self.model.burst_middle * moved
        out[:, :, self._lost[:, 1]] = moved
        return out

    def _swap(self, place: Tensor, troubled: Tensor, generator: torch.Generator) -> Tensor:
        """Left and right legs, arms, or both change places for a while."""
        when = self._episodes(troubled * self._swap_rate, self.model.swap_s, generator).any(dim=2)
        # Limbs that are swapped twice are where they were.
        times = torch.einsum("bst,sd->btd", when.float(), self._swapped.float()) % 2
        return torch.where((times > 0.5)[..., None], place[:, :, self._twin], place)

    def _bridge(self, place: Tensor, generator: torch.Generator) -> Tensor:
        """Straight lines over missed frames, as lifting draws them."""
        missed = self._episodes(self._miss_rate.expand(len(place), 1), self.model.miss_s, generator).any(
            dim=2
        )[:, 0]
        time = torch.arange(self.frames).expand_as(missed)
        before = torch.where(missed, -1, time).cummax(dim=1).values
        after = torch.where(missed, self.frames, time).flip(1).cummin(dim=1).values.flip(1)
        inside = missed & (before >= 0) & (after < self.frames)  # gaps at the ends are not windows' business
        part = (time - before) / (after - before).clamp(min=1)
        rows = torch.arange(len(place))[:, None]
        start, end = place[rows, before.clamp(min=0)], place[rows, after.clamp(max=self.frames - 1)]
        return torch.where(inside[..., None, None], torch.lerp(start, end, part[..., None, None]), place)

    def _episodes(self, rate: Tensor, mean_s: float, generator: torch.Generator) -> Tensor:
        """(B, N, S, T) bool: events of N sorts, `rate` (B, N) of them in a second, each of geometric length; S
        slots hold one event or none each."""
        span = self.frames / self.rate + mean_s
        slots = math.ceil(span / _SLOT_S)
        shape = (*rate.shape, slots)
        happens = torch.rand(*shape, generator=generator) < rate[..., None] * span / slots
        length = -mean_s * self.rate * torch.rand(*shape, generator=generator).clamp(min=1e-6).log()
        start = (
            torch.rand(*shape, generator=generator) * (self.frames + mean_s * self.rate) - mean_s * self.rate
        )
        # At least a frame; rounding the length up would add half of one.
        first, last = start.ceil(), (start + (length - 0.5).clamp(min=0)).ceil()
        time = torch.arange(self.frames)
        return happens[..., None] & (time >= first[..., None]) & (time <= last[..., None])


def _through(
    source_hz: float, phase: float, frames: int, rate: float, model: DetectorModel
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A window recorded at `source_hz` and brought to `rate` as lifting does.

    Returns what that does to the truth (T, T), and for each kind a root (K, T, T) of the noise's covariance.
    """
    grid = np.arange(frames) / rate
    if source_hz == rate:
        times, carried, brought = grid, np.eye(frames), np.eye(frames)
    else:
        # The source goes on beyond the window: one more frame at each end.
        times = (np.arange(-1, math.ceil(grid[-1] * source_hz) + 2) + phase) / source_hz
        brought = resample.to_grid(times, np.eye(len(times)), grid)
        exact = resample.spline(grid, np.eye(frames), times)
        past = times - np.clip(times, grid[0], grid[-1])  # a spline is held beyond its ends; motion goes on
        if frames > 1:
            ends = np.where(past < 0, 1, frames - 1)
            exact[np.arange(len(times)), ends] += past * rate
            exact[np.arange(len(times)), ends - 1] -= past * rate
        carried = brought @ exact
    lag = np.abs(times[:, None] - times[None])
    covariance = np.einsum("kc,cst->kst", np.array(model.time), correlations(lag))
    return carried, np.stack([_root(brought @ c @ brought.T) for c in covariance])


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric square root of a covariance (N, N), negative eigenvalues (rounding) taken as zero."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    root: NDArray[np.float64] = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return root


def _tensor(values: NDArray[np.float64]) -> Tensor:
    """float32, on the default device."""
    return torch.tensor(values, dtype=torch.float32)


def _normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=generator)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value
