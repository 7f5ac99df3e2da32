"""The script that writes small files in the formats of licensed data sets, as a module."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType


def script() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "scripts" / "make_dataset_fixtures.py"
    spec = importlib.util.spec_from_file_location("make_dataset_fixtures", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
