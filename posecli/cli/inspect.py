"""`posecli inspect`: who is in a video."""

from __future__ import annotations

import typer

from posecli import defaults
from posecli.cli import options as o
from posecli.cli.console import ANYWHERE, Output
from posecli.cli.summary import stages, written

EPILOG = f"""[bold]Examples[/bold]

  posecli inspect video.mp4

  posecli lift video.mp4 --person 0

The numbers are those that --person takes, for the same video, stretch and detector; 0 covers most of the pictures.

{ANYWHERE}"""


def inspect(
    context: typer.Context,
    video: o.Video,
    out: o.Out = defaults.OUT,
    start: o.Start = None,
    end: o.End = None,
    fps: o.Fps = None,
    detector: o.Detector = defaults.DETECTOR,
    det_config: o.DetConfig = None,
    det_checkpoint: o.DetCheckpoint = None,
    det_model: o.DetModel = None,
    det_preprocessing: o.DetPreprocessing = None,
    det_people: o.DetPeople = None,
    offline: o.Offline = False,
    overwrite: o.Overwrite = False,
) -> None:
    """List the people in a video with their times and sizes, and draw them on a sheet, <stem>.people.png."""
    from posecli.detect.backends import DetectorOptions
    from posecli.inspection import inspect_video

    say: Output = context.obj
    seen = inspect_video(
        video, out=out, overwrite=overwrite, detector=detector,
        detector_options=DetectorOptions(det_config, det_checkpoint, det_model, det_preprocessing, det_people),
        start=start, end=end, fps=fps, offline=offline, reporter=say,
    )  # fmt: skip
    rows = []
    for number, person in enumerate(seen.people):
        share = f"{person.frames_seen / seen.frames:.0%} of the frames"
        height = f"{person.height:.0f} px tall ({person.height / seen.image_size[1]:.0%})"
        rows.append((str(number), f"{person.start_s:.2f} to {person.end_s:.2f} s", share, height))
    if not say.quiet:
        say.table("person", "seen", "in", "size", rows=rows)
    shots = "" if seen.shots == 1 else f", {seen.shots} shots"
    say.fact("frames", f"{seen.frames}{shots}")
    stages(say, seen.seconds, seen.frames)
    written(say, [seen.sheet])
