"""Clouds of training windows: where a detector's heatmaps put the joints, drawn when a method asks for them.

Paired windows have the real ones (`posecli.corpus.pair_clouds`). Simulated windows get clouds like them: each
landmark is given what the real detector said of the same landmark in a frame of the paired set in which it was about
as wrong, turned so that the error points the same way. Being wrong and being wide go together as they do there, and
a second place where the joint truly is, or that of the other leg, is there as often. Nothing is fitted.

Flat coordinates are those of `posecli.corpus.viewpoints`. N or B windows, F frames asked for, D = 19 landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posecli.corpus.landmarks_seen import H36M_FROM_SEEN, LANDMARK_NAMES
from posecli.corpus.pair_clouds import Places
from posecli.diffusion.noise import from_generator
from posecli.facing import FacedWindows
from posecli.methods.base import Clouds
from posecli.methods.common import mirrored
from posecli.skeleton import H36M17

_NEAR = 0.01  # share of a landmark's examples among which one is chosen for its direction
_CANDIDATES = 8


@dataclass(frozen=True)
class PairedClouds:
    """The real clouds of windows cut from a paired set of P windows.

    places: (P, T', D) in flat coordinates. row: (N,), of which of the P. frame: (N, T), the frame there whose cloud
    belongs to each frame, itself or the nearest in which the person was found. moved: (N, T, 17, 2), by how much the
    joints have moved since, flat. rotation (N, 3, 3), shown (N,): of the windows' `FacedWindows`. flip: (N,) bool,
    seen in a mirror.
    """

    places: Places
    row: Tensor
    frame: Tensor
    moved: Tensor
    rotation: Tensor
    shown: Tensor
    flip: Tensor

    def of(self, windows: Tensor | slice) -> PairedClouds:
        """Those of some of the windows."""
        some: dict[str, Any] = {name: getattr(self, name)[windows] for name in self._by_window()}
        return replace(self, **some)

    def mirrored(self, flip: Tensor) -> PairedClouds:
        """The same, those windows seen in a mirror for which flip (N,) says so."""
        return replace(self, flip=self.flip ^ flip)

    def to(self, device: torch.device) -> PairedClouds:
        moved: dict[str, Any] = {f.name: getattr(self, f.name).to(device) for f in fields(self)}
        return PairedClouds(**moved)

    @staticmethod
    def together(parts: Sequence[PairedClouds]) -> PairedClouds:
        """Of windows of the same paired set, one after the other."""
        every: dict[str, Any] = {
            name: torch.cat([getattr(p, name) for p in parts]) for name in PairedClouds._by_window()
        }
        return replace(parts[0], **every)

    @staticmethod
    def _by_window() -> list[str]:
        return [f.name for f in fields(PairedClouds) if f.name != "places"]

    def draw(self, frames: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """See `posecli.methods.base.Clouds`."""
        window = torch.arange(len(frames), device=frames.device)[:, None]
        places = self.places[self.row[:, None], self.frame[window, frames]]
        flat = _joints(places, count, generator) + self.moved[window, frames][..., None, :]
        drawn = _seen(flat, self.rotation, self.shown)
        twin = mirrored(drawn.transpose(2, 3), H36M17.mirror).transpose(2, 3)
        return torch.where(self.flip[:, None, None, None, None], twin, drawn)


@dataclass(frozen=True)
class CloudBank:
    """What a real detector's heatmaps said of each landmark, by how wrong it was; n examples of each.

    size: (D, n) ascending, how far the landmark was off, in halves of the longer side of the person's box. angle:
    (D, n), of the error. places: (D, n), from the landmark and in the same unit.
    """

    size: Tensor
    angle: Tensor
    places: Places

    @classmethod
    def of(cls, seen: Tensor, true: Tensor, places: Places) -> CloudBank:
        """From n frames: landmarks seen and true (n, D, 2), flat, and where their heatmaps put them, places (n, D)."""
        unit = _half_box(_h36m(seen))[..., None]  # (n, 1)
        error = ((seen - true) / unit[..., None]).transpose(0, 1)  # (D, n, 2)
        size, order = error.norm(dim=-1).sort(dim=1)
        landmark = torch.arange(len(order), device=order.device)[:, None]
        error = error[landmark, order]
        chosen = places[order, landmark]
        unit = unit[:, 0][order]
        return cls(
            size.contiguous(),
            torch.atan2(error[..., 1], error[..., 0]),
            Places(
                chosen.weights,
                (chosen.means - seen[order, landmark][..., None, :]) / unit[..., None, None],
                chosen.factors / unit[..., None, None, None],
            ),
        )

    def to(self, device: torch.device) -> CloudBank:
        return CloudBank(self.size.to(device), self.angle.to(device), self.places.to(device))

    def like(self, error: Tensor, generator: torch.Generator) -> Places:
        """Places (..., D) in the same unit, of landmarks that are wrong by error (..., D, 2)."""
        lead, count = error.shape[:-2], self.size.shape[1]
        away = error.flatten(0, -3).transpose(0, 1)  # (D, Q, 2)
        rank = torch.searchsorted(self.size, away.norm(dim=-1).contiguous())
        reach = max(_CANDIDATES, round(_NEAR * count))
        shape = (*rank.shape, _CANDIDATES)
        spread = torch.rand(*shape, generator=generator, device=generator.device).to(error.device) - 0.5
        near = (rank[..., None] + (spread * reach).round().long()).clamp(0, count - 1)  # (D, Q, C)
        landmark = torch.arange(len(rank), device=rank.device)[:, None]
        turn = torch.atan2(away[..., 1], away[..., 0])[..., None] - self.angle[landmark[..., None], near]
        turn = torch.atan2(turn.sin(), turn.cos())
        best = turn.abs().argmin(dim=-1, keepdim=True)
        chosen, turn = near.gather(-1, best)[..., 0], turn.gather(-1, best)[..., 0]
        cos, sin = turn.cos(), turn.sin()
        affine = torch.stack([cos, -sin, 0 * cos, sin, cos, 0 * cos], dim=-1).view(*turn.shape, 2, 3)
        found = self.places[landmark, chosen].through(affine)
        return Places(*(v.transpose(0, 1).reshape(*lead, *v.transpose(0, 1).shape[1:]) for v in found.parts))


@dataclass(frozen=True)
class SimulatedClouds:
    """Clouds of simulated windows: seen, true (B, T, D, 2), landmarks in flat coordinates; faced: the windows."""

    bank: CloudBank
    seen: Tensor
    true: Tensor
    faced: FacedWindows

    def of(self, windows: slice) -> SimulatedClouds:
        """See `posecli.methods.base.Clouds`."""
        f = self.faced
        faced = FacedWindows(f.x2d[windows], f.rotation[windows], f.scale[windows], f.shown[windows])
        return replace(self, seen=self.seen[windows], true=self.true[windows], faced=faced)

    def draw(self, frames: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """See `posecli.methods.base.Clouds`."""
        window = torch.arange(len(frames), device=frames.device)[:, None]
        seen, true = self.seen[window, frames], self.true[window, frames]
        unit = _half_box(_h36m(seen))[..., None, None]  # (B, F, 1, 1)
        near = self.bank.like((seen - true) / unit, generator)
        places = Places(
            near.weights,
            near.means * unit[..., None] + seen[..., None, :],
            near.factors * unit[..., None, None],
        )
        return _seen(_joints(places, count, generator), self.faced.rotation, self.faced.shown)


@dataclass(frozen=True)
class MixedClouds:
    """Clouds of windows from several sources: parts with their numbers of windows, one after the other, of which the
    windows `order` (B,) are meant, in that order and none twice."""

    parts: tuple[tuple[Clouds, int], ...]
    order: Tensor

    def of(self, windows: slice) -> MixedClouds:
        """See `posecli.methods.base.Clouds`."""
        return replace(self, order=self.order[windows])

    def draw(self, frames: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """See `posecli.methods.base.Clouds`."""
        asked = frames.new_zeros(sum(size for _, size in self.parts), frames.shape[1])
        asked[self.order] = frames
        drawn, at = [], 0
        for clouds, size in self.parts:
            drawn.append(clouds.draw(asked[at : at + size], count, generator))
            at += size
        return torch.cat(drawn)[self.order]


def known_places(places: Places, seen: Tensor, spread: NDArray[np.floating]) -> Places:
    """Places (..., D) with Gaussians about the landmarks `seen` (..., D, 2) where nothing is known; spread (..., D):
    their standard deviations."""
    lost = ~places.known
    first = torch.zeros_like(places.weights)
    first[..., 0] = 1
    eye = torch.eye(2).expand_as(places.factors) * torch.as_tensor(spread).float()[..., None, None, None]
    return Places(
        torch.where(lost[..., None], first, places.weights),
        torch.where(lost[..., None, None], seen[..., None, :], places.means),
        torch.where(lost[..., None, None, None], eye, places.factors),
    )


def _joints(places: Places, count: int, generator: torch.Generator) -> Tensor:
    """Positions of the joints (B, F, 17, S, 2) from places of the landmarks (B, F, D). All frames share their draws,
    as they do in lifting (`posecli.detect.clouds`)."""
    device, landmarks = places.means.device, len(LANDMARK_NAMES)
    uniform = torch.rand(landmarks, count, generator=generator, device=generator.device).to(device)
    drawn = places.draw(uniform, from_generator(generator, device)((landmarks, count, 2)))
    return torch.einsum("jd,bfdsc->bfjsc", _matrix(drawn), drawn)


def _h36m(landmarks: Tensor) -> Tensor:
    """(..., D, 2) → (..., 17, 2)."""
    return torch.einsum("jd,...dc->...jc", _matrix(landmarks), landmarks)


def _matrix(like: Tensor) -> Tensor:
    return torch.as_tensor(H36M_FROM_SEEN, dtype=like.dtype, device=like.device)


def _half_box(joints: Tensor) -> Tensor:
    """(..., 17, 2) → (...,), half the longer side of the box of each frame."""
    return ((joints.amax(-2) - joints.amin(-2)).amax(-1) / 2).clamp_min(1e-6)


def _seen(flat: Tensor, rotation: Tensor, shown: Tensor) -> Tensor:
    """Flat points (B, ..., 2) → the units of the windows' x2d."""
    nothing = flat.new_zeros(len(flat), 0, 17, 2)
    return FacedWindows(nothing, rotation, shown, shown).see(flat)
