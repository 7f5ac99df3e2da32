"""`posecli detect`: 2D joints and heatmaps only."""

from __future__ import annotations

import typer

from posecli import pipeline
from posecli.cli import options as o
from posecli.cli.console import ANYWHERE, Output

EPILOG = f"""[bold]Examples[/bold]

  posecli detect video.mp4

  posecli lift posecli_out/video.detections.h5

{ANYWHERE}"""


def detect(
    context: typer.Context,
    video: o.Source,
    out: o.Out = pipeline.DEFAULT_OUT,
    start: o.Start = None,
    end: o.End = None,
    fps: o.Fps = None,
    detector: o.Detector = pipeline.DEFAULT_DETECTOR,
    offline: o.Offline = False,
    overwrite: o.Overwrite = False,
) -> None:
    """Detect the person's 2D joints and keep the detector's heatmaps, in <stem>.detections.h5."""
    say: Output = context.obj
    keypoints, target, seconds = pipeline.detect_to_file(
        video, out=out, overwrite=overwrite, detector=detector, start=start, end=end, fps=fps, offline=offline,
        reporter=say,
    )  # fmt: skip
    found = int(keypoints.found.sum())
    say.say(f"frames   {len(keypoints)}, a person in {found}")
    say.say(f"time     {', '.join(f'{name} {value:.1f} s' for name, value in seconds.items())}")
    say.say(f"file     {target}")
