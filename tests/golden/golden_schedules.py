"""Checks of the noise schedule and of DDIM's coefficients."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from cases import Case, close

from posecli.diffusion.gaussian import ddim_coefficients
from posecli.diffusion.schedules import cosine_schedule, sampling_times, schedule_buffers


def checks(case: Case) -> dict[str, Callable[[Case], None]]:
    return {"buffers": _buffers, "times": _times}


def _schedule(case: Case):
    s = case.settings
    return cosine_schedule(s["timesteps"], offset=s["s"], max_beta=s["clip"])


def _buffers(case: Case) -> None:
    expected = {
        name.removeprefix("buffer__"): case[name] for name in case.arrays if name.startswith("buffer__")
    }
    actual = schedule_buffers(_schedule(case))
    assert set(actual) == set(expected) and len(expected) == 12
    for name, table in expected.items():
        assert actual[name].dtype == torch.float64
        if name.startswith(("sqrt_recip", "log")) or "_log_" in name:
            torch.testing.assert_close(actual[name], table, rtol=1e-9, atol=0)
        else:
            close(actual[name], table, 1e-12)


def _times(case: Case) -> None:
    schedule = _schedule(case)
    runs = [name.removesuffix("__times") for name in case.arrays if name.endswith("__times")]
    assert runs
    for run in runs:
        times = sampling_times(schedule.timesteps, int(run.removeprefix("K")))
        assert times == case[f"{run}__times"].tolist()
        rows = case[f"{run}__alpha_alphanext_sigma_c"]
        actual = [
            (
                schedule.alpha_bar(t),
                schedule.alpha_bar(n),
                *ddim_coefficients(schedule, t, n, case.settings["eta"]),
            )
            for t, n in pairwise(times[:-1])
        ]
        close(torch.tensor(actual, dtype=torch.float64).reshape(-1, 4), rows, 1e-12)
