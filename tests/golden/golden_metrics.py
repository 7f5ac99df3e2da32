"""Checks of the error measures; arrays of measures that posecli lacks are left alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from cases import Case, close

from posecli.bench.metrics import AUC_MM, auc, joint_errors, mpjpe, mpjve, n_mpjpe, p_mpjpe, pck

FRAMES = {"mpjpe": mpjpe, "p_mpjpe": p_mpjpe, "n_mpjpe": n_mpjpe}
TOTALS = {**FRAMES, "mean_velocity_error": mpjve}


def checks(case: Case) -> dict[str, Callable[[Case], None]]:
    return {"metrics_totals": _totals, "metrics_frames": _frames}


def checks_hypotheses(case: Case) -> dict[str, Callable[[Case], None]]:
    return {"metrics_mean_hypothesis": _mean_hypothesis}


def checks_3dhp(case: Case) -> dict[str, Callable[[Case], None]]:
    return {"pck_auc": _pck_auc, "pck_auc_on_thresholds": _on_thresholds}


def _pck_auc(case: Case) -> None:
    """Per sequence over its valid frames, then the plain mean over sequences."""
    pred, gt, valid = case.arrays["pred"], case.arrays["gt"], case.arrays["valid"].astype(bool)
    errors = joint_errors(pred, gt - gt[:, :, [case.settings["root"]]])
    joints = case.settings["pck_joints"]
    rows = [
        (pck(e[v][:, joints]), auc(e[v][:, joints]), e[v].mean()) for e, v in zip(errors, valid, strict=True)
    ]
    for name, column in zip(("pck", "auc", "mpjpe"), np.array(rows).T, strict=True):
        np.testing.assert_allclose(column, case.arrays[f"{name}_per_sequence"], atol=1e-9)
        np.testing.assert_allclose(column.mean(), case.arrays[f"{name}_mean"], atol=1e-9)


def _on_thresholds(case: Case) -> None:
    errors = case.arrays["edge_errors"][:, case.settings["pck_joints"]]
    thresholds = case.settings["thresholds"]
    assert list(AUC_MM) == thresholds
    assert abs(pck(errors) - case.arrays["edge_pck"]) < 1e-9
    assert abs(auc(errors) - case.arrays["edge_auc"]) < 1e-9


def _totals(case: Case) -> None:
    for name, measure in TOTALS.items():
        total = measure(case.arrays["pred"], case.arrays["gt"]).mean()
        close(torch.tensor(total), case[name], case.about["tolerance_abs"]["default"])


def _frames(case: Case) -> None:
    for name, measure in FRAMES.items():
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
