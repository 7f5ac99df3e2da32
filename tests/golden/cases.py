"""Finds the golden cases, and compares with the tolerance that each states."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

# found while tests are collected, hence not through the fixture `shared_data`
ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(os.environ.get("POSECLI_SHARED_DATA", ROOT.parent / "shared" / "data")) / "golden"


@dataclass(frozen=True)
class Case:
    folder: Path

    @cached_property
    def about(self) -> dict[str, Any]:
        return json.loads((self.folder / "case.json").read_text())

    @property
    def settings(self) -> dict[str, Any]:
        return self.about["settings"]

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        with np.load(self.folder / "io.npz", allow_pickle=False) as file:
            return {name: file[name] for name in file.files}

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name])

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    @property
    def checkpoint(self) -> Path:
        return self.folder / self.about["checkpoint"]

    @property
    def checkpoints(self) -> list[Path]:
        """Of a case with several files."""
        return [self.folder / name for name in self.about["checkpoint"]]


def all_cases() -> list[Case]:
    return [Case(file.parent) for file in sorted(GOLDEN.glob("*/case.json"))]


def close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Same shape and at most `tolerance` apart everywhere."""
    assert tuple(actual.shape) == tuple(expected.shape)
    if actual.numel():
        assert (actual.double() - expected.double()).abs().max().item() <= tolerance


def close_relative(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """As `close`, with the tolerance a share of the largest expected entry."""
    close(actual, expected, tolerance * expected.double().abs().max().item())
