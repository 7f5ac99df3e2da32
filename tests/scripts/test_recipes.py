"""The recipes in `scripts/`: every configuration can be trained with, and the shell script names what there is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import torch

from posecli.methods import METHODS
from posecli.refine.settings import RefinerTraining
from posecli.train.config import TrainConfig

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
CONFIGS = sorted(p for p in SCRIPTS.glob("*.toml") if p.name != "ablations.toml")
RECIPE = SCRIPTS / "make_weights.sh"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_configuration_builds_the_method_in_its_name(path: Path) -> None:
    if path.name.startswith("d3prefiner"):
        settings = RefinerTraining.from_toml(path)
        assert settings.steps >= 100
        return
    config = TrainConfig.from_toml(path)
    method = max((name for name in METHODS if path.name.startswith(f"{name}-")), key=len)
    assert config.steps >= 100
    if not config.init:  # a later stage's network is that of its first weights
        with torch.device("meta"):
            METHODS[method].build({**METHODS[method].defaults, **config.model})


def test_the_recipe_is_a_script_and_names_what_exists() -> None:
    subprocess.run(["bash", "-n", RECIPE], check=True)
    text = RECIPE.read_text(encoding="utf-8")
    named = re.findall(r"config ([\w-]+\.toml)", text)
    assert named and all((SCRIPTS / name).is_file() for name in named)
    assert set(re.findall(r"posecli train (\S+)", text)) <= set(METHODS)


def test_a_later_stage_begins_with_what_an_earlier_one_leaves() -> None:
    text = RECIPE.read_text(encoding="utf-8")
    stages = re.findall(r"posecli train (\S+) .*config ([\w-]+\.toml)\)\" --out (\S+)", text)
    left: set[str] = set()
    for method, name, out in stages:
        init = TrainConfig.from_toml(SCRIPTS / name).init
        assert not init or init in left, f"{name} begins with {init}"
        left.add(f"{out}/{method}-cmu.safetensors")
    assert len(stages) == text.count("posecli train ")
