"""What a run says at its end: frames, people, seconds per stage, files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posecli.cli.console import Output, one_line
from posecli.errors import ExitCode, PosecliError

if TYPE_CHECKING:
    from posecli.batch import Result
    from posecli.walk import Outcome

_SCALES = {
    "prior": "the size of people in the training data (--height sets it)",
    "height": "the height given",
}


def summarise(say: Output, outcome: Outcome) -> None:
    """The lines after a lift."""
    from posecli.refine.choose import in_words

    motion, settings = outcome.motion, outcome.motion.settings
    seconds = float(motion.timestamps_s[-1] - motion.timestamps_s[0])
    say.fact("frames", f"{len(motion)} over {seconds:.2f} s, {_poses(outcome)}")
    for one in outcome.motions:
        say.fact("people" if one is motion else "", person_line(one.settings["detection"]))
    say.fact(
        "method",
        f"{settings['method']}, {settings['weights']}, {_count(settings['hypotheses'], 'hypothesis', 'hypotheses')}, "
        f"{_count(settings['steps'], 'step', 'steps')}, seed {settings['seed']}",
    )
    for record in settings.get("refinements", []):
        say.fact("refiner", in_words(record))
    say.fact("scale", _SCALES.get(motion.scale_source, motion.scale_source))
    for kind, note in outcome.notes.items():
        say.fact(kind, note)
    stages(say, outcome.seconds, len(motion), earlier=outcome.reused is not None)
    written(say, outcome.files)
    if say.verbose:
        for key, value in settings.items():
            say.say(f"  {key}: {value}")


def person_line(made: Mapping[str, Any]) -> str:
    """Of how many people, and who this one is; for the others there is a hint. made: provenance of the keypoints."""
    from posecli.detect.people.choose import described

    record = made.get("person")
    if not isinstance(record, dict):  # detected before posecli told people apart
        return f"1, the one {made['detector']} followed"
    who = described(record)
    return who if record["count"] == 1 or record["asked"] != "largest" else f"{who}; others: --person"


def _poses(outcome: Outcome) -> str:
    motion = outcome.motion
    posed, bridged = int(motion.valid.sum()), int(motion.bridged.sum())
    poses = "all with a pose" if posed == len(motion) else f"{posed} with a pose"
    return poses + (f", {bridged} of them bridged" if bridged else "")


def summarise_many(say: Output, results: Sequence[Result]) -> None:
    """A table with a row for each input. Raises a PosecliError at its end if any failed."""
    rows = []
    for result in results:
        if result.outcome is None:
            rows.append((str(result.path), "failed", "", "", one_line(failure(result))))
            continue
        outcome, warned = result.outcome, len(result.outcome.warnings)
        detail = _poses(outcome) + (f", {_count(warned, 'warning', 'warnings')}" if warned else "")
        state = "skipped" if outcome.skipped else "done"
        rows.append((str(result.path), state, str(len(outcome.motion)), f"{result.seconds:.1f}", detail))
    if not say.quiet:
        say.table("input", "result", "frames", "seconds", "", rows=rows)
    failed = [result for result in results if result.error is not None]
    if failed:
        codes = {result.code for result in failed}
        raise PosecliError(
            f"{len(failed)} of {len(results)} inputs failed: {', '.join(str(r.path) for r in failed[:5])}"
            + (" …" if len(failed) > 5 else ""),
            codes.pop() if len(codes) == 1 else ExitCode.ERROR,
        )


def failure(result: Result) -> str:
    """What went wrong with one input, in a line that names it."""
    error = result.error
    if not isinstance(error, PosecliError):
        return f"{result.path}: {type(error).__name__}: {error} (a bug in posecli; --debug shows where)"
    message = str(error)
    return message if result.path.name in message else f"{result.path}: {message}"


def stages(say: Output, seconds: Mapping[str, float], frames: int, *, earlier: bool = False) -> None:
    """Seconds per stage, the rate of detection, and all of them together."""
    parts = ["detect 0 s (done before)"] if earlier else []
    for name, value in seconds.items():
        rate = frames / value if value > 0 else 0.0
        detail = f" ({rate:.{0 if rate >= 10 else 1}f} frames/s)" if name == "detect" else ""
        parts.append(f"{name} {value:.1f} s{detail}")
    say.fact("time", f"{', '.join(parts)}; {sum(seconds.values()):.1f} s in all")


def written(say: Output, files: Sequence[Path]) -> None:
    """A line per file, with its size."""
    names = [_short(file) for file in files]
    width = max(map(len, names), default=0)
    for name, file in zip(names, files, strict=True):
        say.fact("file", f"{name:<{width}}  {_size(file.stat().st_size)}")


def _short(path: Path) -> str:
    """Relative to the current folder where that is shorter."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
