"""What the commands of `posecli bench` share: options, what fails early, printing and writing results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posecli.cli.console import Output
from posecli.errors import InputError, UsageError
from posecli.files import claim

if TYPE_CHECKING:
    from posecli.bench.report import Table

Format = Annotated[
    str, typer.Option("--format", metavar="KIND", help="What to print: rich, markdown, csv or json.")
]
Result = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write everything there, as JSON.")
]
Video = Annotated[
    Path | None,
    typer.Option("--video", metavar="DIR", help="Real clips instead, through the whole pipeline."),
]
Pairs = Annotated[
    Path | None,
    typer.Option("--pairs", metavar="FILE", help="A paired set's test subjects instead (posecli data)."),
]
Keep = Annotated[
    Path | None,
    typer.Option("--keep", metavar="DIR", help="With --video: keep detections there, to use them again."),
]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw it: .png, .svg or .pdf.")]


def read_json(path: Path) -> dict[str, Any]:
    """A result file; InputError where it is none."""
    try:
        if path.stat().st_size > 1 << 24:
            raise ValueError("it is far too large")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path} is no result file of posecli bench") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} is no result file of posecli bench")
    return content


def check(
    format: str, formats: tuple[str, ...], out: Path | None, plot: Path | None, overwrite: bool
) -> None:
    """What should fail before minutes of work."""
    if format not in formats:
        raise UsageError(f"--format must be one of {', '.join(formats)}, not {format!r}")
    if out is not None and plot is not None and out.resolve() == plot.resolve():
        raise UsageError(f"--out and --plot both name {out}; they are two files")
    for path in (out, plot):
        if path is not None:
            claim(path, overwrite=overwrite)


def show(say: Output, format: str, table: Table, content: dict[str, Any]) -> None:
    from posecli.bench.report import two_lines

    if format == "rich":
        say.table(*map(two_lines, table.headings), rows=table.rows)
    elif format == "json":
        say.say(as_json(content))
    else:
        say.say(table.markdown() if format == "markdown" else table.csv())


def made_by(say: Output, content: dict[str, Any], seconds: dict[str, float]) -> None:
    settings = content["settings"]
    say.fact("weights", f"{content['weights']}, SHA-256 {content['weights_sha256'][:16]}…")
    if "benchmark" in content:
        about = content["benchmark"]
        say.fact(
            "data",
            f"{about['name']}, {about['clips']} clips, {about['keypoints']}, SHA-256 {about['sha256'][:16]}…",
        )
    say.fact(
        "lifted", f"hypotheses {settings['hypotheses']}, steps {settings['steps']}, seed {settings['seed']}, "
        f"on {content['device']}"
    )  # fmt: skip
    say.fact("time", ", ".join(f"{stage} {value:.1f} s" for stage, value in seconds.items()))


def write_json(path: Path, content: dict[str, Any]) -> None:
    from posecli.files import atomic_write

    with atomic_write(path) as partial:
        partial.write_text(as_json(content) + "\n", encoding="utf-8")


def as_json(content: dict[str, Any]) -> str:
    """Strict JSON: what is not a number there is none of."""
    return json.dumps(_finite(content), indent=1, ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and value - value != 0 else value
