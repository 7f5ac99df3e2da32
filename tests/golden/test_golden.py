"""Every golden case that posecli can answer, found by walking `golden/*/case.json` of the shared data.

`HANDLERS` is the one table: how a case's `source` begins → the checks that its arrays allow. A new case of a
known source is picked up by itself; a new method adds its row.
"""

from __future__ import annotations

from collections.abc import Callable

import golden_cameras
import golden_d3dp
import golden_ddhpose
import golden_diffpose
import golden_diffupose
import golden_graformer
import golden_metrics
import golden_mgcn
import golden_mixste
import golden_schedules
import golden_stcformer
import golden_windows
import pytest
from cases import Case, all_cases

Check = Callable[[Case], None]
Handler = Callable[[Case], dict[str, Check]]

HANDLERS: dict[str, Handler] = {
    "D3DP (": golden_d3dp.checks,
    "DDHPose (": golden_ddhpose.checks,
    "DiffPose (": golden_diffpose.checks,
    "DiffuPose: ": golden_diffupose.checks,
    "GraFormer.": golden_graformer.checks,
    "Modulated GCN": golden_mgcn.checks,
    "MixSTE2": golden_mixste.checks,
    "STCFormer Model": golden_stcformer.checks,
    "normalize_screen_coordinates": golden_cameras.checks,
    "eval_data_prepare": golden_windows.checks,
    "mpjpe, weighted_mpjpe, p_mpjpe": golden_metrics.checks,
    "mpjpe_diffusion_all_min": golden_metrics.checks_hypotheses,
    "PCK@150 / AUC / MPJPE": golden_metrics.checks_3dhp,
    "schedule buffers of D3DP / DDHPose": golden_schedules.checks,
}


def _collect() -> list[object]:
    return [
        pytest.param(check, case, id=f"{case.folder.name}-{name}")
        for case in all_cases()
        for source, handler in HANDLERS.items()
        if case.about["source"].startswith(source)
        for name, check in handler(case).items()
    ]


@pytest.mark.parametrize(("check", "case"), _collect())
def test_golden(check: Check, case: Case) -> None:
    check(case)
