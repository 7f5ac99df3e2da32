"""What a run says at its end: frames, people, seconds per stage, files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from posecli.cli.console import Output

if TYPE_CHECKING:
    from posecli.pipeline import Outcome

_SCALES = {
    "prior": "the size of people in the training data (--height sets it)",
    "height": "the height given",
}


def summarise(say: Output, outcome: Outcome) -> None:
    """The lines after a lift."""
    motion, settings = outcome.motion, outcome.motion.settings
    posed, bridged = int(motion.valid.sum()), int(motion.bridged.sum())
    poses = "all with a pose" if posed == len(motion) else f"{posed} with a pose"
    if bridged:
        poses += f", {bridged} of them bridged"
    seconds = float(motion.timestamps_s[-1] - motion.timestamps_s[0])
    say.fact("frames", f"{len(motion)} over {seconds:.2f} s, {poses}")
    say.fact("people", f"1, the one {settings['detection']['detector']} follows")
    say.fact(
        "method",
        f"{settings['method']}, {settings['weights']}, {_count(settings['hypotheses'], 'hypothesis', 'hypotheses')}, "
        f"{_count(settings['steps'], 'step', 'steps')}, seed {settings['seed']}",
    )
    say.fact("scale", _SCALES.get(motion.scale_source, motion.scale_source))
    for kind, note in outcome.notes.items():
        say.fact(kind, note)
    stages(say, outcome.seconds, len(motion), earlier=outcome.reused is not None)
    written(say, outcome.files)
    if say.verbose:
        for key, value in settings.items():
            say.say(f"  {key}: {value}")


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
