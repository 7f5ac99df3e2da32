"""`posecli detect`: 2D joints and heatmaps only."""

from __future__ import annotations

import typer

from posecli import defaults
from posecli.cli import options as o
from posecli.cli.console import ANYWHERE, Output
from posecli.cli.summary import person_line, stages, written

EPILOG = f"""[bold]Examples[/bold]

  posecli detect video.mp4

  posecli lift posecli_out/video.detections.h5

  posecli detect two_people.mp4 --person all

  posecli lift posecli_out/two_people_p1.detections.h5

A file for everybody in the video; `posecli inspect` shows who is who.

{ANYWHERE}"""


def detect(
    context: typer.Context,
    video: o.Video,
    out: o.Out = defaults.OUT,
    start: o.Start = None,
    end: o.End = None,
    fps: o.Fps = None,
    person: o.Person = defaults.PERSON,
    fix_swaps: o.FixSwaps = True,
    detector: o.Detector = defaults.DETECTOR,
    det_config: o.DetConfig = None,
    det_checkpoint: o.DetCheckpoint = None,
    det_model: o.DetModel = None,
    det_preprocessing: o.DetPreprocessing = None,
    det_people: o.DetPeople = None,
    offline: o.Offline = False,
    overwrite: o.Overwrite = False,
) -> None:
    """Detect a person's 2D joints and keep the detector's heatmaps, in <stem>.detections.h5."""
    from posecli import pipeline
    from posecli.detect.backends import DetectorOptions
    from posecli.detect.swaps import SwapSettings

    say: Output = context.obj
    found = pipeline.detect_to_file(
        video, out=out, overwrite=overwrite, detector=detector,
        detector_options=DetectorOptions(det_config, det_checkpoint, det_model, det_preprocessing, det_people),
        person=person, swaps=SwapSettings(repair=fix_swaps), start=start, end=end, fps=fps, offline=offline,
        reporter=say,
    )  # fmt: skip
    frames = len(found.keypoints)
    everybody = [found, *found.others]
    say.fact("frames", f"{frames}, a person in {int(found.keypoints.found.sum())}")
    for one in everybody:
        say.fact("people" if one is found else "", person_line(one.keypoints.provenance))
    stages(say, found.seconds, frames, earlier=found.reused)
    written(say, [one.file for one in everybody])
