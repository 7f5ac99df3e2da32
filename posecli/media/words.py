"""Damage to a file, told to its owner."""

from __future__ import annotations

from collections.abc import Sequence

from posecli.media.decode import Damage

_PLACES = 4  # more damaged places than this are only counted


def damage_warnings(name: str, damage: Damage, count: int, next_s: float, origin_s: float) -> list[str]:
    """One line for each kind of damage.

    count: frames that came out; next_s: when the next one would have been shown, seconds from the start;
    origin_s: the start, on the clock of the times in `damage`.
    """
    if not damage.evidence:
        return []
    lines = []
    at_end = [lost for lost in damage.lost if lost[0] >= count]
    inside = [lost for lost in damage.lost if lost[0] < count]
    if damage.cut is not None or at_end:
        missing = len(at_end) + (damage.cut[1] if damage.cut else 0)
        announced = f"the header announces {damage.cut[0]} frames: " if damage.cut else ""
        lines.append(f"{name}: damaged from frame {count} ({next_s:.2f} s) on; {announced}{missing} lost")
    if inside:
        runs = _runs(inside, same_place=True)
        where = _list([f"{n} before frame {index} ({time - origin_s:.2f} s)" for index, time, n in runs])
        lines.append(f"{name}: {plural(len(inside), 'frame')} damaged and lost: {where}")
    if damage.repaired:
        runs = _runs(damage.repaired, same_place=False)
        where = _list([f"{n} from frame {index} ({time - origin_s:.2f} s)" for index, time, n in runs])
        lines.append(
            f"{name}: {plural(len(damage.repaired), 'frame')} damaged and partly guessed by the decoder: {where}; "
            "those after may be smeared"
        )
    if not lines:
        lines.append(
            f"{name}: the data is damaged in places, though no frame is missing; some may be smeared"
        )
    return lines


def _runs(marks: Sequence[tuple[int, float]], same_place: bool) -> list[tuple[int, float, int]]:
    """(index, time, how many) of marks in a row: at one index, or at indices that follow each other."""
    runs: list[tuple[int, float, int]] = []
    for index, time in marks:
        if runs and index == runs[-1][0] + (0 if same_place else runs[-1][2]):
            runs[-1] = (*runs[-1][:2], runs[-1][2] + 1)
        else:
            runs.append((index, time, 1))
    return runs


def _list(places: list[str]) -> str:
    extra = len(places) - _PLACES
    return ", ".join(places[:_PLACES]) + (f" and in {extra} more places" if extra > 0 else "")


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
