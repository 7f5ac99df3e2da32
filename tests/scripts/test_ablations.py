"""`scripts/ablations.py`: its rows can be trained, differ as they say, and the table has what was measured, no more."""

from __future__ import annotations

import importlib.util
import json
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from posecli.lifting import LiftConfig
from posecli.methods import METHODS
from posecli.methods.diffpose import DiffPose
from posecli.train.config import TrainConfig
from posecli.weights.store import shipped

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
ROWS = SCRIPTS / "ablations.toml"


@pytest.fixture(scope="module")
def ablations() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ablations", SCRIPTS / "ablations.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ablations"] = module  # dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


def network(row: Any) -> Any:
    model = row.settings.get("model", {})
    if row.before is not None:  # its encoder's settings come with the weights
        model = {**DiffPose.settings_for(network(row.before)), **model}
    with torch.device("meta"):
        return METHODS[row.method].build({**METHODS[row.method].defaults, **model})


def test_every_row_can_be_trained_and_measured(ablations: ModuleType) -> None:
    for group in ablations.read_rows(ROWS).values():
        assert len({row.name for row in group.rows}) == len(group.rows) > 1
        for row in group.rows:
            bench = {k: v for k, v in row.bench if k != "flip"}
            LiftConfig(**{k: v or None if k == "smooth_hz" else v for k, v in bench.items()})
            if row.settings is None:
                assert row.weights in {w.name for w in shipped()}
                continue
            TrainConfig(**row.settings)
            assert tomllib.loads(ablations.toml(row.settings)) == row.settings
            assert network(row).window >= 1


def test_equal_settings_are_one_training_and_a_row_is_another(ablations: ModuleType) -> None:
    groups = ablations.read_rows(ROWS)
    assert groups["noise"].rows[0].run() == groups["seed"].rows[0].run() == groups["loss"].rows[0].run()
    for name, group in groups.items():
        said = [(row.run(), row.weights, row.bench) for row in group.rows]
        assert len(set(said)) == len(said), name
    assert groups["noise"].rows[1].settings["simulator"] == {"noise": "guessed"}
    depth = groups["depth"].rows[1].settings["model"]
    assert depth == {**groups["depth"].rows[0].settings["model"], "depth": 2}
    shorter = ablations.read_rows(ROWS, 300)["noise"].rows[0]
    assert shorter.settings["steps"] == 300 and shorter.settings["warmup"] == 25
    assert shorter.run() != groups["noise"].rows[0].run()


def test_the_table_has_what_was_measured_and_nothing_else(ablations: ModuleType, tmp_path: Path) -> None:
    groups = ablations.read_rows(ROWS)
    bench = ablations.Bench(Path("c.h5"), Path("p.h5"), tmp_path)

    def result(row: Any, mpjpe: float) -> None:
        figures = {"mpjpe_mm": mpjpe, "p_mpjpe_mm": mpjpe / 2, "jitter": 1.0}
        path = ablations.result_file(row, bench)
        path.parent.mkdir(exist_ok=True)
        about = {"parameters": 1234, "sha256": "ab" * 32, "hypotheses": 1, "steps": 1}
        path.write_text(json.dumps({"open": figures, "paired": figures, **about}))

    for row, mpjpe in zip(groups["seed"].rows, (100.0, 101.0, 102.0), strict=True):
        result(row, mpjpe)
    result(groups["disentangling"].rows[1], 90.0)
    result(groups["hierarchy"].rows[1], 102.5)
    ablations.write_table(groups, bench)
    text = (tmp_path / "ablations.md").read_text()
    assert "standard deviation 1.00 / 0.50 mm" in text
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    assert "| 90.0 / 45.0 | -10.0 / -5.0 |" in lines["neither"] and "NO, the other way" in lines["neither"]
    assert "+2.5 ≈ / +1.2 ≈" in lines["without HRTT"] and "not seen" in lines["without HRTT"]
    assert "`abababababab`" in lines["neither"] and "1,234" in lines["neither"]
    assert "both" not in lines and "M = 5" not in text  # not measured, or no row of the group
    assert "CPU (s)" in text and "None" not in text
