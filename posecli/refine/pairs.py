"""What a refiner learns from: 2D poses, what a lifter made of them as a user would get it, and the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from posecli.bones import usual_lengths, with_lengths
from posecli.corpus.simulate import Batch, MotionClip, Simulator, SimulatorConfig
from posecli.errors import InputError, UsageError
from posecli.files import atomic_write
from posecli.lifting import LiftConfig
from posecli.methods.base import Lifter, usual_hypotheses, usual_steps
from posecli.methods.common import both_ways, mirrored
from posecli.refine.crossfit import subject_folds
from posecli.reporting import Reporter, Silent
from posecli.skeleton import H36M17
from posecli.smooth import low_pass
from posecli.uncertainty import Uncertainty
from posecli.windows import lift_grid, window_starts

_AT_ONCE = 32
_TENSORS = ("x2d", "noisy", "pose")


@dataclass(frozen=True)
class Pairs:
    """Windows in the camera turned to the person (`posecli.facing`): x2d (N, T, 17, 2) normalised; noisy, what the
    lifter answered, and pose, the truth, (N, T, 17, 3), metres, relative to the root."""

    x2d: Tensor
    noisy: Tensor
    pose: Tensor

    def __post_init__(self) -> None:
        count, frames = self.pose.shape[:2]
        wanted = {
            "x2d": (count, frames, 17, 2),
            "noisy": (count, frames, 17, 3),
            "pose": (count, frames, 17, 3),
        }
        for name, shape in wanted.items():
            value = getattr(self, name)
            if tuple(value.shape) != shape or not count or not torch.isfinite(value).all():
                raise InputError(
                    f"{name} of refiner's pairs must be finite numbers of shape {shape}, not empty"
                )

    def __len__(self) -> int:
        return len(self.pose)

    def draw(self, batch: int, generator: torch.Generator, frames: int = 0) -> Pairs:
        """`batch` windows with repetition, half of them seen in a mirror. frames: of each only so many in a row, from
        anywhere in it; 0: all."""
        at = torch.randint(len(self), (batch,), generator=generator)
        flip = torch.rand(batch, 1, 1, 1, generator=generator) < 0.5
        chosen = [value[at] for value in (self.x2d, self.noisy, self.pose)]
        if frames:
            first = torch.randint(self.pose.shape[1] - frames + 1, (batch, 1), generator=generator)
            rows = torch.arange(batch)[:, None], first + torch.arange(frames)
            chosen = [value[rows] for value in chosen]
        return Pairs(*(torch.where(flip, mirrored(value, H36M17.mirror), value) for value in chosen))

    def both_ways(self) -> Pairs:
        """All windows and their mirror images: what `draw` draws from."""
        return Pairs(*(both_ways(value, H36M17.mirror) for value in (self.x2d, self.noisy, self.pose)))

    def save(self, path: Path, about: str) -> None:
        """Write them to `path`; `about` says what they are."""
        tensors = {name: getattr(self, name).contiguous() for name in _TENSORS}
        with atomic_write(path) as partial:
            save_file(tensors, partial, {"about": about})

    @classmethod
    def load(cls, path: Path, about: str) -> Pairs | None:
        """Read what `save` wrote; None where there is none. Raises InputError where the file is damaged, UsageError
        where it says something else of itself."""
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                found = (file.metadata() or {}).get("about")
                tensors = [file.get_tensor(name) for name in _TENSORS]
        except (OSError, SafetensorError):
            raise InputError(f"{path} is damaged; delete it and start again") from None
        if found != about:
            raise UsageError(
                f"{path} was lifted from other data, by other weights or settings; choose another folder or delete it"
            )
        return cls(*tensors)

    @classmethod
    def joined(cls, parts: Sequence[Pairs]) -> Pairs:
        return cls(*(torch.cat([getattr(p, name) for p in parts]) for name in _TENSORS))


def lifted_pairs(
    lifter: Lifter,
    clips: Sequence[MotionClip],
    windows: int,
    *,
    frames: int,
    simulator: SimulatorConfig | None = None,
    config: LiftConfig | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Pairs:
    """Simulated windows of `clips`, lifted as `posecli lift` lifts: overlapping windows blended, low-passed, bones of
    one length.

    frames: T of a pair, whatever the lifter's own window.
    simulator: its rate and size_exponent must be the lifter's. progress: called with (windows done, in all).
    """
    simulator, config = simulator or SimulatorConfig(), config or LiftConfig()
    source = Simulator(clips, frames, simulator)
    generator = torch.Generator().manual_seed(seed)
    parts: list[Pairs] = []
    done = 0
    while done < windows:
        batch = source.draw(min(_AT_ONCE, windows - done), generator)
        parts.append(_lifted(lifter, batch, simulator, config, (seed, done)))
        done += len(batch.x2d)
        if progress is not None:
            progress(done, windows)
    return Pairs.joined(parts)


def detected_pairs(
    lifter: Lifter,
    path: Path,
    split: str,
    *,
    frames: int,
    simulator: SimulatorConfig | None = None,
    config: LiftConfig | None = None,
    seed: int = 0,
) -> Pairs:
    """Windows of the paired set in `path` (`posecli data pairs`), in which a real detector found the joints of rendered
    people, lifted as above; windows shorter than `frames` are played forth and back, as `NetworkRefiner` does.

    split: "train" or "val", subjects as in the corpus. Raises InputError, UsageError.
    """
    from posecli.corpus.paired_windows import paired_batches
    from posecli.corpus.pairs import load_pairs  # brings the detector along

    simulator, config = simulator or SimulatorConfig(), config or LiftConfig()
    found = load_pairs(path, split)
    window = min(frames, found.xy.shape[1])
    again = np.pad(np.arange(window), (0, frames - window), mode="symmetric")
    parts: list[Pairs] = []
    for batch in paired_batches(found, window, _AT_ONCE, size_exponent=simulator.size_exponent):
        made = _lifted(lifter, batch, simulator, config, (seed, len(parts)))
        parts.append(Pairs(made.x2d[:, again], made.noisy[:, again], made.pose[:, again]))
    if not parts:
        raise InputError(f"{path} holds no windows of the {split} split in which a person was found")
    return Pairs.joined(parts)


def _lifted(
    lifter: Lifter, batch: Batch, simulator: SimulatorConfig, config: LiftConfig, seed: tuple[int, int]
) -> Pairs:
    """Windows with what `posecli lift` makes of them. seed: of the lifter's noise, the second number of the first
    window and one more for each."""
    starts = window_starts(batch.flat.shape[1], lifter.window, config.overlap)
    answers = []
    for row, flat in enumerate(batch.flat.double().numpy()):
        lifted, _ = lift_grid(
            flat, starts, lifter, Uncertainty.constant(),
            hypotheses=config.hypotheses or usual_hypotheses(lifter), steps=config.steps or usual_steps(lifter),
            batch=config.batch, seed=(seed[0], seed[1] + row), size_exponent=simulator.size_exponent,
            progress=lambda count: None,
        )  # fmt: skip
        each = low_pass(lifted, simulator.rate, config.smooth_hz)
        pose = each.mean(axis=1)
        lengths = usual_lengths(each.swapaxes(0, 1), H36M17)
        answers.append(with_lengths(pose, lengths, H36M17) if config.fixed_bones else pose)
    noisy = batch.faced.from_camera(torch.from_numpy(np.stack(answers)).float())
    return Pairs(batch.x2d, noisy, batch.pose)


def cross_fitted_pairs(
    fit: Callable[[int, Sequence[MotionClip]], Lifter],
    clips: Sequence[MotionClip],
    windows: int,
    *,
    folds: int,
    frames: int,
    simulator: SimulatorConfig | None = None,
    config: LiftConfig | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Pairs:
    """`lifted_pairs` of every subject by a lifter that does not know them.

    fit: (number of the fold, clips of the others) → a lifter trained on these. Raises InputError where there are fewer
    subjects than folds.
    """
    try:
        held = subject_folds([clip.subject for clip in clips], folds)
    except ValueError as error:
        raise InputError(f"the corpus cannot be cross-fitted: {error}") from None
    parts = []
    for fold, rows in enumerate(held):
        out = set(rows.tolist())
        lifter = fit(fold, [clip for k, clip in enumerate(clips) if k not in out])
        share = max(1, round(windows * len(rows) / len(clips)))
        name = f"lift people held out, {fold + 1} of {folds}"
        with (reporter or Silent()).stage(name, share, "windows") as advance:
            parts.append(
                lifted_pairs(
                    lifter, [clips[k] for k in rows], share,
                    frames=frames, simulator=simulator, config=config, seed=seed + fold, progress=advance,
                )
            )  # fmt: skip
    return Pairs.joined(parts)
