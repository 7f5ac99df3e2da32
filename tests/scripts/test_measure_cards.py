"""`scripts/measure_cards.py`: it changes a card's tables of test data and nothing else, and measures nothing twice."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from posecli.bench.report import Table
from posecli.weights.store import find, shipped

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "measure_cards.py"
CARD = "# card\n\n## Open benchmark\n\nold\n\n| a |\n\n## Remarks\n\nmine\n"


@pytest.fixture(scope="module")
def cards() -> ModuleType:
    spec = importlib.util.spec_from_file_location("measure_cards", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_sections(cards: ModuleType) -> None:
    changed = cards.with_section(CARD, "Open benchmark", "new")
    assert changed == "# card\n\n## Open benchmark\n\nnew\n\n## Remarks\n\nmine\n"
    assert cards.with_section(changed, "Open benchmark", "new") == changed
    assert cards.with_section(CARD, "Remarks", "ours") == CARD.replace("mine", "ours")
    assert cards.with_section(CARD, "Test subjects", "x") == CARD + "\n## Test subjects\n\nx\n"


def test_what_was_measured_of_the_same_weights_is_kept(cards: ModuleType, tmp_path: Path) -> None:
    asked: list[int] = []

    def measure() -> tuple[dict[str, int], Table]:
        asked.append(1)
        return {"n": len(asked)}, Table(("", "n"), (("all", str(len(asked))),))

    bench = cards.Bench(tmp_path, None, tmp_path)
    first, other = shipped()[:2]
    found = [bench.kept("open", [first], measure) for _ in range(2)]
    assert found[0] == found[1] and len(asked) == 1
    bench.kept("open", [first, other], measure)  # of other weights
    assert len(asked) == 2


def test_a_refiner_is_measured_on_what_it_was_fitted_to(cards: ModuleType) -> None:
    named = {w.name: w for w in shipped()}
    assert cards.fits(named["d3prefiner-diffpose"], named["diffpose-cmu"])
    assert not cards.fits(named["d3prefiner-diffpose"], named["diffpose-frame"])
    assert not cards.fits(named["d3prefiner-diffpose"], named["mixste-cmu"])
    assert cards.fits(named["d3prefiner-any"], named["diffpose-frame"])
    assert named["diffpose-cmu"].path == find("diffpose")
