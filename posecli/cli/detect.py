"""`posecli detect`: 2D joints and heatmaps only."""

from __future__ import annotations

import typer

from posecli import defaults
from posecli.cli import options as o
from posecli.cli.console import ANYWHERE, Output
from posecli.cli.summary import stages, written

EPILOG = f"""[bold]Examples[/bold]

  posecli detect video.mp4

  posecli lift posecli_out/video.detections.h5

{ANYWHERE}"""


def detect(
    context: typer.Context,
    video: o.Video,
    out: o.Out = defaults.OUT,
    start: o.Start = None,
    end: o.End = None,
    fps: o.Fps = None,
    detector: o.Detector = defaults.DETECTOR,
    offline: o.Offline = False,
    overwrite: o.Overwrite = False,
) -> None:
    """Detect the person's 2D joints and keep the detector's heatmaps, in <stem>.detections.h5."""
    from posecli import pipeline

    say: Output = context.obj
    found = pipeline.detect_to_file(
        video, out=out, overwrite=overwrite, detector=detector, start=start, end=end, fps=fps, offline=offline,
        reporter=say,
    )  # fmt: skip
    frames = len(found.keypoints)
    say.fact("frames", f"{frames}, a person in {int(found.keypoints.found.sum())}")
    stages(say, found.seconds, frames, earlier=found.reused)
    written(say, [found.file])
