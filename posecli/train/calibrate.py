"""How much of the truth lies within the stated uncertainty: fitted on held-out people, checked on others.

Gaussian intervals are promised (68 % within one standard deviation, 95 % within 1.96), but errors are heavy-tailed
even where everything that is seen is taken into account. So the scale is set by the quantiles that are promised and
not by the root of the mean square, which a few hard windows decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm

from posecli.errors import InputError
from posecli.methods.base import Clouds, Lifter, usual_steps
from posecli.train.validation import Windows, lifted
from posecli.uncertainty import FEATURES, ErrorModel, Uncertainty, features

Array = NDArray[np.float64]

LEVELS = (10, 20, 30, 40, 50, 60, 68, 80, 90, 95, 99)
"""Shares of the truth, per cent, whose intervals are checked; 68 stands for 68.27, one standard deviation."""
AXES = ("image x", "image y", "depth")

_MOST_FRAMES = 16_000  # the rest of the frames adds time but no people
_WINDOWS_A_CALL = 16


@dataclass(frozen=True)
class Sample:
    """Windows as lifted: x2d (B, T, 17, 2), answer (B, H, T, 17, 3) and truth (B, T, 17, 3), turned camera, metres."""

    x2d: NDArray[np.float32]
    answer: NDArray[np.float32]
    truth: NDArray[np.float32]

    def first(self) -> Sample:
        """The same with the first hypothesis only: what one hypothesis would have said."""
        return Sample(self.x2d, self.answer[:, :1], self.truth)

    @property
    def error(self) -> Array:
        """Of the hypotheses' mean (B, T, 17, 3)."""
        return self.answer.mean(axis=1, dtype=np.float64) - self.truth


def calibrate(
    model: Lifter,
    validation: Iterable[Windows],
    *,
    test: Iterable[Windows] = (),
    hypotheses: int = 3,
    windows: int = 512,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """Fit the error model of a trained lifter: the `calibration` of its weights' metadata.

    model: on `device`, in eval mode. validation: windows of people it was not trained on (simulated, and of the
    paired set); they alone are fitted. test: windows of yet others, only measured. windows: most of each that are
    lifted, spread evenly over the batches; with 512 and three hypotheses about a minute on one CPU core.
    Returns what `Uncertainty.from_metadata` reads, and under `coverage` what `coverage` measures on both sets.
    Raises InputError where validation is empty.
    """
    fitted = lift_sample(model, validation, hypotheses=hypotheses, windows=windows, seed=seed, device=device)
    if fitted is None:
        raise InputError("there are no validation windows to calibrate on")
    uncertainty = Uncertainty(one=_fit(fitted.first(), seed), several=_fit(fitted, seed))
    checked = lift_sample(model, test, hypotheses=hypotheses, windows=windows, seed=seed, device=device)
    sets = {"validation": fitted} if checked is None else {"validation": fitted, "test": checked}
    return {
        "features": list(FEATURES),
        "one": uncertainty.one.to_dict(),
        "several": uncertainty.several.to_dict(),
        "hypotheses": hypotheses,
        "coverage": {name: coverage(uncertainty, sample) for name, sample in sets.items()},
    }


def coverage(uncertainty: Uncertainty, sample: Sample) -> dict[str, Any]:
    """Per cent of the true coordinates (without the root) inside the central intervals of `LEVELS`, by axis.

    {"windows": B, "one": {axis: [one figure a level]}, "several": the same with all hypotheses}.
    """
    shares = np.array([0.6827 if level == 68 else level / 100 for level in LEVELS])
    limits = np.asarray(norm.ppf(0.5 + shares / 2))
    found: dict[str, Any] = {"windows": len(sample.x2d), "levels": list(LEVELS)}
    for name, part in (("one", sample.first()), ("several", sample)):
        std = uncertainty.std(part.x2d, part.answer)[:, :, 1:]
        relative = np.abs(part.error[:, :, 1:]) / np.maximum(std, 1e-12)
        found[name] = {
            axis: [round(100 * float((relative[..., k] <= limit).mean()), 1) for limit in limits]
            for k, axis in enumerate(AXES)
        }
    return found


def lift_sample(
    model: Lifter,
    batches: Iterable[Windows],
    *,
    hypotheses: int,
    windows: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> Sample | None:
    """Lift up to `windows` windows, the same share of every batch; None where there are none."""
    drawn = list(batches)
    total = sum(len(batch.x2d) for batch in drawn)
    if not total:
        return None
    share = min(1.0, windows / total)
    generator, steps = torch.Generator().manual_seed(seed), usual_steps(model)
    x2d, truth, answers = [], [], []
    for piece in _pieces(drawn, share):
        answers.append(
            lifted(model, piece, hypotheses=hypotheses, steps=steps, generator=generator, device=device)
        )
        x2d.append(piece.x2d.cpu())
        truth.append(piece.pose.cpu())
    return Sample(torch.cat(x2d).numpy(), torch.cat(answers).numpy(), torch.cat(truth).numpy())


@dataclass(frozen=True)
class _Piece:
    x2d: torch.Tensor
    pose: torch.Tensor
    clouds: Clouds | None


def _pieces(batches: list[Windows], share: float) -> Iterator[Windows]:
    for batch in batches:
        count = max(1, round(share * len(batch.x2d)))
        for first in range(0, count, _WINDOWS_A_CALL):
            rows = slice(first, min(first + _WINDOWS_A_CALL, count))
            clouds = None if batch.clouds is None else batch.clouds.of(rows)
            yield _Piece(batch.x2d[rows], batch.pose[rows], clouds)


def _fit(sample: Sample, seed: int) -> ErrorModel:
    seen = features(sample.x2d, sample.answer.mean(axis=1))
    several = sample.answer.shape[1] > 1
    spread = sample.answer.std(axis=1, ddof=1) if several else np.zeros_like(sample.truth)
    flat = [a.reshape(-1, *a.shape[2:]) for a in (seen, sample.error, spread)]
    chosen = np.random.default_rng(seed).permutation(len(flat[0]))[:_MOST_FRAMES]
    return fit_error_model(*(a[chosen] for a in flat))


def fit_error_model(
    seen: NDArray[np.floating], error: NDArray[np.floating], spread: NDArray[np.floating]
) -> ErrorModel:
    """The error model under which errors are likeliest, if they are Laplace's (heavy-tailed), then scaled.

    seen: features (N, F). error: (N, 17, 3) metres. spread: the hypotheses' standard deviation (N, 17, 3), zeros for
    one hypothesis. Every joint and axis is scaled by the geometric mean of what would make 68 % and what would
    make 95 % of its errors lie where they should.
    """
    low, high = np.percentile(seen, [2, 98], axis=0)  # nothing is concluded beyond what was seen
    cut = np.clip(seen, low, high)
    centre, width = cut.mean(axis=0), cut.std(axis=0)
    width[width < 1e-3] = 1.0  # what never varies tells nothing: a single frame does not tremble
    x = torch.from_numpy((cut - centre) / width).double()
    size = torch.from_numpy(np.abs(error[:, 1:]).astype(np.float64))
    variance = torch.from_numpy(spread[:, 1:].astype(np.float64) ** 2)
    base = size.mean(dim=0).clamp(min=1e-6).log().requires_grad_()
    weights = torch.zeros(x.shape[1], 3, dtype=torch.float64, requires_grad=True)
    factor = torch.zeros(3, dtype=torch.float64, requires_grad=True)  # log; it stays where nothing spreads

    def std() -> torch.Tensor:
        return ((2 * (base + (x @ weights)[:, None])).exp() + (2 * factor).exp() * variance).sqrt()

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        scale = std()
        value = (scale.log() + size / scale).mean() + 1e-3 * weights.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer = torch.optim.LBFGS([base, weights, factor], max_iter=60, line_search_fn="strong_wolfe")
    with torch.enable_grad():
        optimizer.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        relative = (size / std()).numpy()
    one, two = np.quantile(relative, 0.6827, axis=0), np.quantile(relative, 0.95, axis=0) / norm.ppf(0.975)
    scale = np.sqrt(one * two)
    return ErrorModel(
        base=np.concatenate([np.zeros((1, 3)), np.exp(base.detach().numpy()) * scale]),
        weights=weights.detach().numpy(),
        centre=centre,
        width=width,
        low=low,
        high=high,
        spread=np.exp(factor.detach().numpy()) * (scale.mean(axis=0) if variance.any() else 1.0),
    )
