"""Whether a folder holds a data set as its evaluation needs it; in words, a line per finding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from posecli.datasets.check_h36m import check_h36m
from posecli.datasets.check_humaneva import check_humaneva
from posecli.datasets.check_mpi3dhp import check_3dhp
from posecli.datasets.findings import Finding
from posecli.errors import InputError, UsageError

CHECKS: dict[str, Callable[[Path], list[Finding]]] = {
    "h36m": check_h36m,
    "3dhp": check_3dhp,
    "humaneva": check_humaneva,
}


def check(dataset: str, folder: Path) -> list[Finding]:
    """Everything to be said of `folder`. Raises UsageError for a data set posecli does not know, InputError where
    the folder is none."""
    if dataset not in CHECKS:
        raise UsageError(f"unknown data set {dataset!r}; one of: {', '.join(CHECKS)}")
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder")
    return CHECKS[dataset](folder)


def complete(findings: list[Finding]) -> bool:
    """Whether nothing is bad."""
    return all(finding.ok is not False for finding in findings)
