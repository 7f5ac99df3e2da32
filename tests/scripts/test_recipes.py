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


def stages() -> list[tuple[str, str, str]]:
    """Method, configuration, folder of every stage of the recipe, in its order."""
    text = RECIPE.read_text(encoding="utf-8")
    named = re.findall(r"^stage (\S+) (\S+) (\S+)", text, flags=re.MULTILINE)
    others = re.findall(r"for method in ([a-z0-9 -]+);", text)[0].split()
    return named + [(method, f"{method}-cpu.toml", method) for method in others]


def test_the_recipe_is_a_script_and_names_what_exists() -> None:
    subprocess.run(["bash", "-n", RECIPE], check=True)
    assert len(stages()) >= 3
    for method, name, _ in stages():
        assert method in METHODS and (SCRIPTS / name).is_file()


def test_a_later_stage_begins_with_what_an_earlier_one_leaves() -> None:
    left: set[str] = set()
    for method, name, folder in stages():
        init = TrainConfig.from_toml(SCRIPTS / name).init
        assert not init or init in left, f"{name} begins with {init}"
        left.add(f"runs/{folder}/{method}-cmu.safetensors")
