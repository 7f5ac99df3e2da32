"""Checks of the error measures; arrays of measures that posecli lacks are left alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from cases import Case, close

from posecli.bench.metrics import mpjpe, p_mpjpe

TOTALS = {"mpjpe": mpjpe, "p_mpjpe": p_mpjpe}


def checks(case: Case) -> dict[str, Callable[[Case], None]]:
    return {"metrics_totals": _totals, "metrics_frames": _frames}


def checks_hypotheses(case: Case) -> dict[str, Callable[[Case], None]]:
    return {"metrics_mean_hypothesis": _mean_hypothesis}


def _totals(case: Case) -> None:
    for name, measure in TOTALS.items():
        total = measure(case.arrays["pred"], case.arrays["gt"]).mean()
        close(torch.tensor(total), case[name], case.about["tolerance_abs"]["default"])


def _frames(case: Case) -> None:
    for name, measure in TOTALS.items():
        each = measure(case.arrays["pred"], case.arrays["gt"])
        close(torch.from_numpy(each), case[f"{name}_per_frame"], case.about["tolerance_abs"]["default"])
    mirrored, exact = case.settings["mirrored_frames"], case.settings["exact_similarity_frame"]
    each = p_mpjpe(case.arrays["pred"], case.arrays["gt"])
    assert each[exact] < 1e-6 and each[mirrored].min() > 10 * 1e-6


def _mean_hypothesis(case: Case) -> None:
    mean = case.arrays["pred"].astype("float64").mean(axis=2)  # (b, K, F, 17, 3)
    truth = case.arrays["gt"][:, None]
    tolerance = case.about["tolerance_abs"]
    close(torch.from_numpy(mpjpe(mean, truth).mean(axis=(0, 2))), case["P_Agg"], tolerance["default"])
    close(torch.from_numpy(p_mpjpe(mean, truth).mean(axis=(0, 2))), case["P_Agg_p2"], tolerance["P2"])
