"""Many inputs in one call: each by itself, going on after a failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from posecli.clip import Clip
from posecli.errors import ExitCode, PosecliError, UsageError
from posecli.lifting import LiftConfig
from posecli.loaded import Lifting
from posecli.media.read import IMAGE_SUFFIXES, natural_key
from posecli.pipeline import check_exports, lift_or_skip
from posecli.reporting import Reporter
from posecli.seeing import SeeConfig
from posecli.walk import Outcome


@dataclass(frozen=True)
class Result:
    """How one input ended: with an outcome, or with an error."""

    path: Path
    seconds: float
    outcome: Outcome | None = None
    error: Exception | None = None

    @property
    def code(self) -> ExitCode:
        if self.error is None:
            return ExitCode.OK
        return self.error.code if isinstance(self.error, PosecliError) else ExitCode.ERROR


def lift_many(
    paths: Sequence[Path],
    *,
    out: Path,
    exports: Sequence[str],
    seeing: SeeConfig,
    method: str | None,
    weights: str | Path | None,
    start: float | None,
    end: float | None,
    fps: float | None,
    config: LiftConfig,
    device: str,
    reporter: Reporter,
    refine: str | None = None,
    begins: Callable[[int, Path], None] = lambda place, path: None,
    ended: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Lift each of `paths` as `lift_to_files` does; what is finished already and unchanged is skipped.

    begins: called with place and path before each; ended: with its result. Whatever goes wrong with one input is in
    its result, and the next follows.
    Raises UsageError or InputError before anything is done for what would go wrong with all of them, and where two
    inputs would write the same files.
    """
    check_exports(exports)
    _refuse_same_names(paths)
    lifting = Lifting.of_videos(method, weights, device, config, refine)
    results = []
    for place, path in enumerate(paths):
        begins(place, path)
        clock = time.monotonic()
        outcome, failed = None, None
        try:
            outcome = lift_or_skip(
                Clip(path, start, end, fps), lifting, out=out, exports=exports, seeing=seeing, reporter=reporter
            )  # fmt: skip
        except BrokenPipeError:  # nobody listens any more
            raise
        except Exception as error:  # a night's work must not end with the first bad file
            failed = error
        results.append(Result(path, time.monotonic() - clock, outcome, failed))
        ended(results[-1])
    return results


def expanded(path: Path) -> list[Path]:
    """The inputs that one argument stands for: the videos in a folder without pictures or that a pattern names
    (where no shell has done it); anything else is one input."""
    if path.is_dir():
        found = [p for p in path.iterdir() if p.is_file() and not p.name.startswith(".")]
        if any(p.suffix.lower() in IMAGE_SUFFIXES for p in found):
            return [path]
        return sorted((p for p in found if p.suffix.lower() in VIDEO_SUFFIXES), key=natural_key) or [path]
    if not path.exists() and any(c in path.name for c in "*?[") and path.parent.is_dir():
        found = [p for p in path.parent.glob(path.name) if p.is_file()]
        if found and not any(p.suffix.lower() in IMAGE_SUFFIXES for p in found):
            return sorted(found, key=natural_key)
    return [path]


def only_pictures(paths: Sequence[Path]) -> bool:
    """Whether all inputs are called like pictures."""
    return all(path.suffix.lower() in IMAGE_SUFFIXES for path in paths)


VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm",
     ".wmv"}
)  # fmt: skip
"""What counts as a video in a folder; a file that is named is tried whatever it is called."""


def _refuse_same_names(paths: Sequence[Path]) -> None:
    first: dict[str, Path] = {}
    for path in paths:
        stem = Clip(path).stem  # raises UsageError for a webcam or a stream
        if stem in first:
            raise UsageError(
                f"{first[stem]} and {path} would both be written as {stem}.npz; lift one of them with another --out"
            )
        first[stem] = path
