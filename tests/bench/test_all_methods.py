"""Every method on every data set in both protocols, on generated files in the official formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dataset_fixtures import script
from tiny_networks import SETTINGS, WINDOW, tiny_weights

from posecli.bench.run import run_bench, score
from posecli.bench.scenes import Material, load
from posecli.errors import UsageError
from posecli.lifting import LiftConfig
from posecli.loaded import Lifting
from posecli.methods import METHODS

FRAMES = 12


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {bench: tmp_path_factory.mktemp(bench) for bench in ("h36m", "3dhp", "humaneva")}
    script().write_h36m(made["h36m"], FRAMES, subjects=("S9", "S11"), actions=("Posing",))
    script().write_3dhp(made["3dhp"], FRAMES)
    script().write_humaneva(made["humaneva"], FRAMES, chunks=(0,))
    return made


@pytest.fixture(scope="module")
def materials(folders: dict[str, Path]) -> dict[str, Material]:
    return {bench: load(bench, folder) for bench, folder in folders.items()}


def test_no_method_is_forgotten() -> None:
    assert set(SETTINGS) == set(METHODS)


@pytest.mark.parametrize("bench", ["h36m", "3dhp", "humaneva"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_on_every_data_set(
    method: str, bench: str, materials: dict[str, Material], tmp_path: Path
) -> None:
    weights, material = tiny_weights(tmp_path, method, bench), materials[bench]
    scenes = list(material.scenes())
    valid = sum(int(s.valid.sum()) for s in scenes)
    windowed = sum(WINDOW * -(-len(s) // WINDOW) for s in scenes)
    for protocol in ("official", "clean"):
        lifting = Lifting(method, weights, "cpu", LiftConfig(hypotheses=2, steps=2))
        result = score(lifting, material, protocol=protocol)
        # STCFormer's release scores the middle of a window around every frame; methods of frames have no windows
        twice = (
            protocol == "official" and bench != "3dhp" and lifting.model.window > 1 and method != "stcformer"
        )
        assert result.frames == (windowed if twice else valid)
        agreed = protocol == "official" and method in ("ddhpose", "d3dp") and bench != "humaneva"
        assert result.aggregation == ("J-Agg" if agreed else "P-Agg")
        assert len(result.aggregations) == (4 if agreed else 1)
        assert result.errors.sum() == result.frames * (material.skeleton.num_joints - 1)
        content = result.to_dict()
        assert (content["leak"] is None) == (
            not agreed and (method, protocol, bench) != ("diffupose", "official", "h36m")
        )
        for values in content["measured"].values():
            assert set(values["p1" if bench == "3dhp" else "p2"]["by"]) == set(result.layout.columns)
            if bench == "3dhp":
                assert 0 <= values["auc"]["mean"] <= values["pck"]["mean"] <= 100
            elif "velocity" in values:
                assert values["p2"]["mean"] <= values["p1"]["mean"] + 1e-9
        if agreed:
            p1 = {name: values["p1"]["mean"] for name, values in content["measured"].items()}
            assert p1["J-Best"] <= min(p1.values())


def test_several_settings_of_one_load(folders: dict[str, Path], tmp_path: Path) -> None:
    weights = tiny_weights(tmp_path, "d3dp", "3dhp")
    configs = [LiftConfig(hypotheses=h, steps=w, seed=3) for w in (1, 2) for h in (1, 3)]
    results = run_bench("3dhp", folders["3dhp"], weights=weights, method="d3dp", configs=configs)
    assert [(r.settings["hypotheses"], r.settings["steps"]) for r in results] == [
        (1, 1),
        (3, 1),
        (1, 2),
        (3, 2),
    ]
    # with one hypothesis every way to choose chooses that
    for r in results[::2]:
        assert len({round(r.mean("p1", name), 9) for name in r.aggregations}) == 1
    (again,) = run_bench("3dhp", folders["3dhp"], weights=weights, method="d3dp", configs=configs[3:])
    assert again.row("p1") == results[3].row("p1")
    assert results[1].row("p1") != results[3].row("p1")


def test_what_does_not_go_together(folders: dict[str, Path], tmp_path: Path) -> None:
    weights = tiny_weights(tmp_path, "mixste", "h36m")
    with pytest.raises(UsageError, match=r"joints of h36m17, this data set has those of mpi_inf_3dhp17"):
        run_bench("3dhp", folders["3dhp"], weights=weights, method="mixste")
    with pytest.raises(UsageError, match="true keypoints only"):
        run_bench("3dhp", folders["3dhp"], weights=weights, method="mixste", keypoints="cpn")
    with pytest.raises(UsageError, match="unknown benchmark 'coco'"):
        run_bench("coco", folders["3dhp"], weights=weights, method="mixste")


def test_poses_of_single_frames_are_lifted_together(
    materials: dict[str, Material], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clip of T frames must not cost T calls of the network."""
    lifting = Lifting("graformer", tiny_weights(tmp_path, "graformer", "3dhp"), "cpu", LiftConfig())
    lift, calls = lifting.model.lift_windows, []
    monkeypatch.setattr(
        lifting.model, "lift_windows", lambda x2d, **given: calls.append(len(x2d)) or lift(x2d, **given)
    )
    score(lifting, materials["3dhp"], protocol="clean")
    assert calls == [FRAMES + k for k in range(6)]
    assert np.sum(calls) == materials["3dhp"].frames
