"""Results as tables: rows of words, and those rows as Markdown or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from posecli.bench.clips import ClipScore, VideoResult
from posecli.bench.open import OpenResult
from posecli.bench.scores import Coverage, Scores

FORMATS = ("rich", "markdown", "csv", "json")

# heading, key of `Scores.to_dict()`, decimals
_OPEN_COLUMNS = (
    ("MPJPE (mm)", "mpjpe_mm", 1),
    ("P-MPJPE (mm)", "p_mpjpe_mm", 1),
    ("N-MPJPE (mm)", "n_mpjpe_mm", 1),
    ("MPJVE (mm/frame)", "mpjve_mm", 1),
    ("accel. error (mm/s²)", "acceleration_mm_s2", 0),
    ("jitter", "jitter", 2),
    ("bone drift (%)", "bone_drift_percent", 1),
    ("PCK@150 (%)", "pck150_percent", 1),
    ("AUC (%)", "auc_percent", 1),
    ("frames", "frames", 0),
    ("missed", "missed", 0),
)
_EVERY_COLUMNS = tuple(
    c for c in _OPEN_COLUMNS if c[1] not in ("mpjve_mm", "pck150_percent", "frames", "missed")
)
_CLIP_COLUMNS = (
    ("PA-MPJPE (mm)", "pa_mpjpe_mm", 1),
    ("root-relative (mm)", "root_mpjpe_mm", 1),
    ("jitter", "jitter", 2),
    ("frames", "frames", 0),
)


@dataclass(frozen=True)
class Table:
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """A pipe table; words left, numbers right."""
        words = next((k for k, cell in enumerate(self.rows[-1]) if cell == "-" or _number(cell)), 0)
        rule = ["---" if k < words else "---:" for k in range(len(self.headings))]
        lines = [self.headings, rule, *self.rows]
        return "\n".join("| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines)

    def csv(self) -> str:
        """Comma-separated, headings first."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.headings, *self.rows])
        return text.getvalue().rstrip("\n")


def open_table(result: OpenResult) -> Table:
    """A row per action, per viewpoint, and one over all."""
    rows = [
        _row((label, name), scores, _OPEN_COLUMNS)
        for label in ("action", "viewpoint")
        for name, scores in result.by(label).items()
    ]
    rows.append(_row(("all", "all"), result.overall, _OPEN_COLUMNS))
    return Table(("by", "", *(c[0] for c in _OPEN_COLUMNS)), tuple(rows))


def every_table(results: Sequence[OpenResult]) -> Table:
    """A row per weights. Frames a second: of lifting, all hypotheses and steps, both ways round; nothing detected."""
    rows = []
    for result in results:
        made, about = result.made_by, result.benchmark
        window, settings = made["window"], made["settings"]
        speed = about["frames"] / result.seconds["lift"]
        rows.append(
            (
                *_row((Path(made["weights"]).stem,), result.overall, _EVERY_COLUMNS),
                "frame" if window == 1 else f"{window} frames",
                str(made["parameters"]),
                f"{settings['hypotheses']}, {settings['steps']}",
                f"{speed:.{0 if speed >= 10 else 1}f}",
            )
        )
    heads = ("weights", *(c[0] for c in _EVERY_COLUMNS), "input", "parameters", "H, W", "frames/s")
    return Table(heads, tuple(rows))


def video_table(result: VideoResult) -> Table:
    """Two rows per clip, ours and MediaPipe's, and their means."""
    rows = []
    for clip in result.clips:
        rows += _pair(clip.name, clip.ours, clip.mediapipe)
    rows += _pair("mean", result.ours, result.mediapipe)
    return Table(("clip", "by", *(c[0] for c in _CLIP_COLUMNS), "PA-MPJPE of MediaPipe's"), tuple(rows))


def two_lines(heading: str) -> str:
    """A heading with its unit below, for a narrow table."""
    return heading.replace(" (", "\n(")


def coverage_line(coverage: Coverage | None) -> str:
    """What the stated spread was worth, in a sentence."""
    if coverage is None:
        return "joints_3d_std: these weights state none"
    parts = [
        f"{words} {100 * coverage.within(1, axis):.0f} % and {100 * coverage.within(2, axis):.0f} %"
        for words, axis in (("all axes", "all"), ("image axes", "image"), ("depth", "depth"))
    ]
    return f"joints_3d_std: truth within 1 and 2 of it: {', '.join(parts)} (of normal errors: 68 % and 95 %)"


def _pair(name: str, ours: ClipScore, mediapipe: ClipScore) -> list[tuple[str, ...]]:
    ratio = ours.pa_mpjpe_mm / mediapipe.pa_mpjpe_mm
    return [
        (*_row((name, "posecli"), ours, _CLIP_COLUMNS), f"{ratio:.2f}"),
        (*_row((name, "MediaPipe world"), mediapipe, _CLIP_COLUMNS), "1.00"),
    ]


def _row(
    names: tuple[str, ...], scores: Scores | ClipScore, columns: tuple[tuple[str, str, int], ...]
) -> tuple[str, ...]:
    values = scores.to_dict()
    return (*names, *(f"{values[key]:.{decimals}f}" for _, key, decimals in columns))


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
