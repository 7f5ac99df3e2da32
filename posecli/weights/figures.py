"""How good shipped weights are said to be: the line over all clips in the benchmark table of their card."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_COMMAND = re.compile(
    r"`posecli bench open( (-w|--weights) \S+)?`"
)  # with other options it measures something else
_COLUMNS = ("MPJPE (mm)", "P-MPJPE (mm)")


@dataclass(frozen=True)
class OpenFigures:
    """Of `posecli bench open` with its defaults, mm."""

    mpjpe_mm: float
    p_mpjpe_mm: float


def open_figures(card: Path) -> OpenFigures | None:
    """What a card says under its words "By `posecli bench open`"; None where it says nothing of the kind.

    The table is `posecli bench open --format markdown`'s, its line that which begins with "all".
    """
    if not card.is_file():
        return None
    text = card.read_text(encoding="utf-8", errors="replace")  # its table may be whole all the same
    sections = (text[command.end() :].partition("\n## ")[0] for command in _COMMAND.finditer(text))
    return next((found for section in sections if (found := _figures(section)) is not None), None)


def _figures(section: str) -> OpenFigures | None:
    """Those of the first table of a section; a card may name the command without one."""
    rows = [_cells(line) for line in section.splitlines() if line.startswith("|")]
    heading = next((row for row in rows if set(_COLUMNS) <= set(row)), None)
    total = next((row for row in rows if row[0] == "all"), None)
    if heading is None or total is None or len(heading) != len(total):
        return None
    try:
        return OpenFigures(*(float(total[heading.index(name)]) for name in _COLUMNS))
    except ValueError:
        return None


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
