"""Fit of `DetectorModel` to the paired set. Robust throughout: medians and log-means, clipped products."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls

from posecli.corpus.detector_model import (
    ARMS,
    GATES,
    KIND,
    KINDS,
    LEGS,
    LIMB,
    LOST_LIMBS,
    STATES,
    DetectorErrors,
    DetectorModel,
    correlations,
    excess_tilt,
)
from posecli.corpus.landmarks_seen import LANDMARK_NAMES, TWINS
from posecli.corpus.paired_errors import Array, Errors, errors_of
from posecli.corpus.pairs import RATE, Pairs
from posecli.errors import InputError

Flags = NDArray[np.bool_]

_MEDIAN = 1.17741  # of the length of a 2D normal vector with unit variance per coordinate
_SCORES = (0.0, 0.25, 0.5, 0.75, 1.01)
_LOST = 0.12  # units: a limb further off than this, for a while, is lost
_RIDGE = 30.0


def fit_detector_model(pairs: Pairs, source: str = "") -> DetectorModel:
    """Fit to all windows of `pairs`; keep the validation and test sides out. InputError for too few windows."""
    errors = errors_of(pairs)
    seen = np.asarray(np.isfinite(errors.error[..., 0]).all(axis=-1))  # (N, T)
    if seen.sum() < 200:
        raise InputError("too few frames with a detected person to fit a detector model to")
    miss_rate, miss_s = _runs(~seen, inner=True)
    swapped = _swapped(errors)  # (2, N, T)
    swaps = [_runs(s) for s in swapped]
    straight: Flags = seen & ~swapped.any(axis=0)
    error = np.where(straight[..., None, None], errors.error, np.nan)

    bias = _bias(error, errors)
    step = np.einsum("ntdg,dga->ntda", _gates(errors), bias[KIND])
    residual = error - (step[..., None] * errors.axes).sum(-2)
    pull, residual = _pull(residual, errors)
    length = np.linalg.norm(residual, axis=-1)  # (N, T, D)
    # People who lean are seen worse: first how much worse, then everybody's spread without that.
    lean = excess_tilt(torch.from_numpy(errors.tilt)).numpy()
    tilt = _tilt(length / _expected(*_spread(length, errors), errors), lean)
    worse = np.exp(tilt * lean)[..., None]
    spread, grows = _spread(length / worse, errors)
    expected = _expected(spread, grows, errors) * worse
    lost = _lost(length, expected)
    bursts = _bursts(length, lost)
    for limb, (middle, end) in enumerate(LOST_LIMBS):
        for joint in (middle, end):  # what is modelled apart must not count twice
            residual[:, :, joint] = np.where(lost[limb][..., None], np.nan, residual[:, :, joint])
    z = residual / expected[..., None]

    window_log = _nanmean(np.log(np.maximum(np.linalg.norm(z, axis=-1), 1e-3)), axis=1)  # (N, D)
    own = (
        z / np.exp(window_log - 0.058)[:, None, :, None]
    )  # 0.058: mean logarithm of a unit Rayleigh variable
    time = _time(own)
    joints = _joints(z / np.exp(_nanmean(window_log, axis=1) - 0.058)[:, None, None, None])
    model = DetectorModel(
        bias=_rounded(bias), spread=_rounded(spread), spread_beyond=round(grows, 4), pull=round(pull, 4),
        tilt=round(tilt, 4),
        scale=(0.0, 0.0, 0.0), time=_rounded(time), joints=_rounded(joints, 3),
        swap_rate=(round(swaps[0][0], 4), round(swaps[1][0], 4), round(swaps[2][0], 4)),
        swap_s=round(_runs(swapped.reshape(-1, swapped.shape[-1]))[1], 4), miss_rate=round(miss_rate, 4),
        miss_s=round(miss_s, 4), burst_rate=bursts[0], uneven=bursts[1],
        burst_s=bursts[2], burst_size=bursts[3], burst_middle=bursts[4],
        scores=_rounded(_scores(errors)), spread_by_score=_rounded(_by_score(length, errors)),
        heatmaps=_rounded(_heatmaps(pairs, errors)), source=source,
    )  # fmt: skip
    return DetectorModel.from_dict(
        model.to_dict() | {"scale": _scale(window_log, model, errors.error.shape[1])}
    )


def _gates(errors: Errors) -> Array:
    return np.stack([np.ones_like(errors.front), errors.front, errors.near, errors.hidden], axis=-1)


def _bias(error: Array, errors: Errors) -> Array:
    """(K, 4, 3) by ridge regression with Huber weights; outside the picture nothing is learnt."""
    gates, bias = _gates(errors), np.zeros((len(KINDS), len(GATES), 3))
    inside = np.linalg.norm(errors.beyond, axis=-1) == 0
    for kind in range(len(KINDS)):
        columns = [d for d, k in enumerate(KIND) if k == kind]
        use = inside[:, :, columns] & np.isfinite(error[:, :, columns, 0])
        rows = gates[:, :, columns][use][:, :, None, None] * errors.axes[:, :, columns][use][:, None]
        rows = np.moveaxis(rows.reshape(len(rows), -1, 2), 1, 2)  # (M, 2, 12)
        answer = error[:, :, columns][use]
        found = np.zeros(rows.shape[-1])
        for _ in range(10):
            off = np.linalg.norm(answer - rows @ found, axis=-1)
            weight = np.minimum(1, 1.5 * np.median(off) / np.maximum(off, 1e-9))
            # Frames of a window say much the same: a ridge as of so many frames, not of so many windows.
            normal = np.einsum("m,mcp,mcq->pq", weight, rows, rows) + _RIDGE * np.eye(len(found))
            found = np.linalg.solve(normal, np.einsum("m,mcp,mc->p", weight, rows, answer))
        bias[kind] = found.reshape(len(GATES), 3)
    return bias


def _pull(residual: Array, errors: Errors) -> tuple[float, Array]:
    """Share of the distance outside the picture by which landmarks are drawn back, and what is left."""
    use = (np.linalg.norm(errors.beyond, axis=-1) > 0.02) & np.isfinite(residual[..., 0])
    away, moved = errors.beyond[use], residual[use]
    pull = -float((away * moved).sum() / max((away**2).sum(), 1e-9)) if len(away) > 50 else 0.0
    return pull, residual + pull * errors.beyond


def _spread(length: Array, errors: Errors) -> tuple[Array, float]:
    """(K, 3) by state, and how much it grows per unit outside."""
    state, distance = errors.state, np.linalg.norm(errors.beyond, axis=-1)
    spread = np.zeros((len(KINDS), len(STATES)))
    for kind in range(len(KINDS)):
        columns = [d for d, k in enumerate(KIND) if k == kind]
        for s in range(2):
            spread[kind, s] = _median(length[:, :, columns][state[:, :, columns] == s]) / _MEDIAN
    spread[:, 1] = np.where(spread[:, 1] > 0, spread[:, 1], 2 * spread[:, 0])
    outside = (state == 2) & np.isfinite(length)
    near, far = outside & (distance < 0.15), outside & (distance > 0.25)
    base = _median(length[near]) / _MEDIAN or float(2 * spread[:, 0].mean())
    grows = 0.0
    if far.sum() > 50:
        grows = max(0.0, (_median(length[far]) / _MEDIAN - base) / float(np.median(distance[far])))
    spread[:, 2] = np.maximum(base, spread[:, 0])
    return spread, grows


def _expected(spread: Array, grows: float, errors: Errors) -> Array:
    """(N, T, D) spread that an upright person's landmarks have."""
    inside = spread[KIND, 0] * (1 - errors.hidden) + spread[KIND, 1] * errors.hidden
    distance = np.linalg.norm(errors.beyond, axis=-1)
    return np.where(distance > 0, spread[KIND, 2] + grows * distance, inside)


def _tilt(relative: Array, lean: Array) -> float:
    """Slope of the logarithm of the errors (N, T, D), in relation to what is expected, over `lean` (N, T)."""
    logs = _nanmean(np.log(np.maximum(relative, 1e-3)), axis=2)
    use = np.isfinite(logs)
    upright = float(np.mean(logs[use & (lean == 0)])) if (use & (lean == 0)).any() else 0.0
    steep = lean[use]
    return max(0.0, float((steep * (logs[use] - upright)).sum() / max((steep**2).sum(), 1.0)))


def _time(z: Array) -> Array:
    """(K, 9) shares of variance that explain the autocorrelation of z (N, T, D, 2)."""
    frames = z.shape[1]
    lags = np.arange(min(frames - 1, 36))
    basis = correlations(lags / RATE).T
    # Rows to explain: every lag, and the variance of first and second differences, of which steadiness is made.
    rows = np.eye(len(lags)) / np.sqrt(1 + np.arange(len(lags)) / 6)[:, None]
    steps = np.zeros((2, len(lags)))
    steps[0, :2], steps[1, :3] = (2, -2), (6, -8, 2)
    out = np.zeros((len(KINDS), basis.shape[1]))
    z = np.clip(z, -3, 3)
    for kind in range(len(KINDS)):
        part = z[:, :, [d for d, k in enumerate(KIND) if k == kind]]
        covariance = np.array([np.nanmean(part[:, : frames - lag] * part[:, lag:]) for lag in lags])
        covariance /= covariance[0]
        # The differences' own medians: a few bursts, modelled apart, would make all frames shake.
        size = [
            np.linalg.norm(np.diff(part, n, axis=1), axis=-1) if n else np.linalg.norm(part, axis=-1)
            for n in range(3)
        ]
        moves = np.maximum(np.array([_median(s) for s in size[1:]]) / _median(size[0]), 0.01) ** 2
        relative = steps / moves[:, None]
        share, _ = nnls(
            np.concatenate([rows, relative]) @ basis, np.concatenate([rows @ covariance, np.ones(2)])
        )
        out[kind] = share / share.sum()
    return out


def _joints(z: Array) -> Array:
    """(19, 19) correlation of z (N, T, D, 2) between landmarks, the same for left and right."""
    z = np.nan_to_num(np.clip(z, -3, 3))
    covariance = np.einsum("ntic,ntjc->ij", z, z)
    covariance = (covariance + covariance[np.ix_(TWINS, TWINS)]) / 2
    size = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(size, size))
    correlation = (vectors * values.clip(min=1e-4)) @ vectors.T
    size = np.sqrt(np.diag(correlation))
    return correlation / np.outer(size, size)


def _scale(window_log: Array, model: DetectorModel, frames: int) -> tuple[float, float, float]:
    """Standard deviations of the log-scale of window, limb, joint: what the windows' mean log errors
    (N, D) vary beyond what the correlated noise alone would make them vary."""
    noise = DetectorErrors(model, frames)
    generator = torch.Generator().manual_seed(1)
    drawn = noise._coloured(torch.zeros(2000, dtype=torch.long), generator).norm(dim=-1).log().mean(dim=1)
    chance = np.cov(drawn.numpy().T)
    use = np.isfinite(window_log).all(axis=1)
    extra = np.cov(window_log[use].T) - chance
    limb = np.array(LIMB)
    same, alone = limb[:, None] == limb[None], np.eye(len(limb), dtype=bool)
    window = max(0.0, float(np.median(extra[~same])))
    common = max(0.0, float(np.median(extra[same & ~alone])) - window)
    joint = max(0.0, float(np.median(np.diag(extra))) - window - common)
    return tuple(round(float(np.sqrt(v)), 4) for v in (window, common, joint))  # type: ignore[return-value]


def _swapped(errors: Errors) -> Flags:
    """(3, N, T): legs only, arms only, or both are clearly nearer to the other side's places."""
    out = []
    detected = errors.truth + errors.error
    for keys in (LEGS, ARMS):
        columns = [d for d, n in enumerate(LANDMARK_NAMES) if any(k in n for k in keys)]
        twins = [TWINS[d] for d in columns]
        straight = np.linalg.norm(detected[:, :, columns] - errors.truth[:, :, columns], axis=-1).mean(-1)
        crossed = np.linalg.norm(detected[:, :, columns] - errors.truth[:, :, twins], axis=-1).mean(-1)
        out.append((crossed < 0.6 * straight) & (straight > 0.1))
    legs, arms = out
    return np.stack([legs & ~arms, arms & ~legs, legs & arms])


def _spans(row: Flags) -> list[tuple[int, int]]:
    """Runs of True in (T,): first frame, and frame after the last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _runs(flags: Flags, inner: bool = False) -> tuple[float, float]:
    """Runs of True in a second of (N, T), and their mean length in seconds. inner: only runs with False on both
    sides count."""
    spans = [s for row in flags for s in _spans(row) if not inner or (s[0] > 0 and s[1] < len(row))]
    if not spans:
        return 0.0, 1 / RATE
    return len(spans) / (flags.size / RATE), float(np.mean([b - a for a, b in spans])) / RATE


def _lost(length: Array, expected: Array) -> Flags:
    """(L, N, T): the end of a limb is much further off than its state explains."""
    ends = [end for _, end in LOST_LIMBS]
    far = np.nan_to_num(length[:, :, ends]) > np.maximum(_LOST, 4 * expected[:, :, ends])
    return np.asarray(np.moveaxis(far, 2, 0))


def _bursts(length: Array, lost: Flags) -> tuple[float, float, float, tuple[float, float], float]:
    """Of bursts in errors (N, T, D): rate per limb and second, how unevenly windows share them (see
    `DetectorModel`), mean duration (s), size (median, log-spread), and the middle of the limb in relation to its
    end."""
    lasting, sizes, middles, counts = [], [], [], np.zeros(lost.shape[1])
    for limb, (middle, end) in enumerate(LOST_LIMBS):
        for row, window in enumerate(length):
            for a, b in _spans(lost[limb, row]):
                counts[row] += 1
                lasting.append(b - a)
                sizes.append(float(np.nanmedian(window[a:b, end])))
                middles.append(float(np.nanmedian(window[a:b, middle])))
    watched = np.isfinite(length[:, :, LOST_LIMBS[0][1]])
    if not sizes:
        return 0.0, 0.0, 1 / RATE, (_LOST, 0.5), 0.5
    size = (round(float(np.median(sizes)), 4), round(float(np.std(np.log(sizes))), 4))
    middle_share = float(np.median(np.array(middles) / np.array(sizes)))
    rate = len(sizes) / (len(LOST_LIMBS) * float(watched.sum()) / RATE)
    # Counts of a Poisson process whose rate is log-normal: variance = mean + mean² (exp(σ²) - 1).
    counts = counts[watched.any(axis=1)]
    excess = (float(counts.var()) - float(counts.mean())) / float(counts.mean()) ** 2
    uneven = float(np.sqrt(np.log1p(max(excess, 0.0))))
    return (
        round(rate, 4),
        round(uneven, 4),
        round(float(np.mean(lasting)) / RATE, 4),
        size,
        round(middle_share, 4),
    )


def _scores(errors: Errors) -> Array:
    """(K, 3, 3) quartiles of scores by state."""
    out = np.zeros((len(KINDS), len(STATES), 3))
    seen = np.isfinite(errors.error[..., 0])
    for kind in range(len(KINDS)):
        columns = [d for d, k in enumerate(KIND) if k == kind]
        for s in range(len(STATES)):
            use = errors.scores[:, :, columns][(errors.state == s)[:, :, columns] & seen[:, :, columns]]
            out[kind, s] = np.percentile(use, [25, 50, 75]) if len(use) else 0.0
    return out


def _by_score(length: Array, errors: Errors) -> Array:
    out = np.zeros((len(KINDS), len(_SCORES) - 1))
    for kind in range(len(KINDS)):
        columns = [d for d, k in enumerate(KIND) if k == kind]
        for b in range(len(_SCORES) - 1):
            score = errors.scores[:, :, columns]
            out[kind, b] = (
                _median(length[:, :, columns][(score >= _SCORES[b]) & (score < _SCORES[b + 1])]) / _MEDIAN
            )
    return out


def _heatmaps(pairs: Pairs, errors: Errors) -> Array:
    """(K, 4, 6) mean and spread of log mass, peak, standard deviation of heatmaps by score; 0 where never seen."""
    out = np.zeros((len(KINDS), len(_SCORES) - 1, 6))
    mass, peak = pairs.heatmaps[..., 0], pairs.heatmaps[..., 6]
    width = np.sqrt(np.maximum(pairs.heatmaps[..., 3] + pairs.heatmaps[..., 5], 1e-6) / 2)
    for kind in range(len(KINDS)):
        columns = [d for d, k in enumerate(KIND) if k == kind]
        for b in range(len(_SCORES) - 1):
            score = errors.scores[:, :, columns]
            use = (score >= _SCORES[b]) & (score < _SCORES[b + 1]) & np.isfinite(mass[:, :, columns])
            if use.sum() < 20:
                continue
            for k, value in enumerate((mass, peak, width)):
                logs = np.log(np.maximum(value[:, :, columns][use], 1e-6))
                out[kind, b, 2 * k : 2 * k + 2] = np.exp(logs.mean()), logs.std()
    return out


def _median(values: Array) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) >= 20 else 0.0


def _nanmean(values: Array, axis: int) -> Array:
    seen = np.isfinite(values)
    count = seen.sum(axis=axis)
    return np.where(count > 0, np.where(seen, values, 0).sum(axis=axis) / np.maximum(count, 1), np.nan)


def _rounded(values: Array, digits: int = 4) -> tuple[object, ...]:
    def tuples(value: object) -> object:
        return tuple(tuples(v) for v in value) if isinstance(value, list) else value

    out = tuples(np.round(values, digits).tolist())
    assert isinstance(out, tuple)
    return out
