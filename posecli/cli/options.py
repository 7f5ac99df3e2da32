"""Options that several commands share, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posecli.camera import DEFAULT_FOV_DEG
from posecli.pipeline import DEFAULT_DETECTOR, DEFAULT_METHOD

Source = Annotated[
    Path,
    typer.Argument(
        metavar="VIDEO",
        help="Video, picture, folder of pictures, or a .detections.h5 that posecli wrote.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that are there already.")]
Method = Annotated[str, typer.Option("--method", "-m", help=f"Lifter (posecli methods). [{DEFAULT_METHOD}]")]
Weights = Annotated[
    str | None,
    typer.Option("--weights", "-w", metavar="FILE", help="Weights file, or the name of shipped ones."),
]
Detector = Annotated[
    str, typer.Option("--detector", help=f"2D detector (posecli detectors). [{DEFAULT_DETECTOR}]")
]
Start = Annotated[float | None, typer.Option("--start", metavar="SECONDS", help="Begin here.")]
End = Annotated[float | None, typer.Option("--end", metavar="SECONDS", help="Stop before here.")]
Fps = Annotated[float | None, typer.Option("--fps", help="Frame rate of a folder of pictures.")]
Hypotheses = Annotated[
    int, typer.Option("--hypotheses", "-H", min=1, help="Poses sampled per frame, then averaged.")
]
Steps = Annotated[int, typer.Option("--steps", "-W", min=1, help="Denoising steps.")]
Seed = Annotated[int, typer.Option("--seed", help="Of all random numbers.")]
Fov = Annotated[
    float,
    typer.Option(
        "--fov",
        metavar="DEGREES",
        help="Field of view along the image's longer side; the default is a phone's main camera.",
    ),
]
FOV_DEFAULT = round(DEFAULT_FOV_DEG, 1)
Height = Annotated[
    float | None,
    typer.Option(
        "--height", metavar="METRES", help="The person's height, to set the scale.", show_default=False
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never fetch anything.")]
