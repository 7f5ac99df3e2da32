"""The detectors by name, what each of them takes, and how one is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Protocol

from posecli.detect.heatmaps import HeatmapSink
from posecli.detect.keypoints import Keypoints2D
from posecli.detect.network import PoseNetwork
from posecli.detect.people.sight import Eyes
from posecli.errors import UsageError
from posecli.media.frames import Frame
from posecli.weights.fetch import Progress


class Detector(Eyes, Protocol):
    """Finds people's joints in videos."""

    def detect(
        self,
        frames: Iterable[Frame],
        image_size: tuple[int, int],
        *,
        heatmaps: HeatmapSink | None = None,
        on_frame: Callable[[int], None] | None = None,
    ) -> Keypoints2D:
        """Follow the surest person; see `posecli.detect.people.surest.follow_surest`."""


@dataclass(frozen=True)
class DetectorOptions:
    """Files that a detector is made of; on the command line, `--det-config` and so on.

    config, checkpoint: of mmpose. model: ONNX. preprocessing: a TOML for a model that does not tell its own. people: an
    ONNX network that finds people, in place of BlazePose's.
    """

    config: Path | None = None
    checkpoint: Path | None = None
    model: Path | None = None
    preprocessing: Path | None = None
    people: Path | None = None

    def given(self) -> set[str]:
        """Names of the options that are set."""
        return {field.name for field in fields(self) if getattr(self, field.name) is not None}


@dataclass(frozen=True)
class Backend:
    """A kind of detector.

    title: what it is, in a line. joints: how many it finds, in words. load: "module:function" of a network, called
    as `load(options, threads=…) -> PoseNetwork`; None for the embedded detector. needs, takes: names of
    `DetectorOptions` that must, and may, be given. runtime: the Python package it runs on. install: the commands that
    install it, in this order.
    """

    title: str
    joints: str
    load: str | None = None
    needs: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()
    runtime: str | None = None
    install: tuple[str, ...] = ()


DETECTORS: dict[str, Backend] = {
    "blazepose": Backend("MediaPipe BlazePose (full), embedded", "33 joints"),
    "mmpose": Backend(
        "any top-down 2D model of mmpose 1.3, with its own config and checkpoint",
        "the model's joints",
        "posecli.detect.mmpose:load",
        needs=frozenset({"config", "checkpoint"}),
        takes=frozenset({"people"}),
        runtime="mmpose",
        install=(
            'pip install "setuptools>=77.0.3,<81" wheel',
            'pip install --no-build-isolation "posecli[mmpose]"',
        ),
    ),
    "onnx": Backend(
        "an ONNX pose network with SimCC or heatmap output, such as RTMPose",
        "the model's joints",
        "posecli.detect.onnx:load",
        needs=frozenset({"model"}),
        takes=frozenset({"preprocessing", "people"}),
        runtime="onnxruntime",
        install=("pip install 'posecli[onnx]'",),
    ),
}
"""Name on the command line → detector."""


def check_options(name: str, options: DetectorOptions) -> None:
    """Raises UsageError for an unknown detector, and where it needs or does not take what is given."""
    if name not in DETECTORS:
        raise UsageError(f"unknown detector {name!r}; one of: {', '.join(DETECTORS)}")
    backend, given = DETECTORS[name], options.given()
    if missing := sorted(backend.needs - given):
        raise UsageError(f"--detector {name} needs {_listed(missing)}")
    if unused := sorted(given - backend.needs - backend.takes):
        raise UsageError(f"--detector {name} does not take {_listed(unused)}")


def make_detector(
    name: str,
    options: DetectorOptions | None = None,
    *,
    threads: int = 2,
    offline: bool = False,
    progress: Progress | None = None,
) -> Detector:
    """The detector of this name; its own networks are fetched on first use unless `offline`.

    Raises UsageError for options that do not go together, InputError for files that are not what they should be,
    NetworkError where something must be fetched and cannot be.
    """
    from posecli.detect.blazepose import BlazePose, BlazePoseFinder
    from posecli.detect.onnx_people import OnnxFinder
    from posecli.detect.topdown import TopDown

    options = options or DetectorOptions()
    check_options(name, options)
    entry = DETECTORS[name].load
    if entry is None:
        return BlazePose(threads=threads, offline=offline, progress=progress)
    module, function = entry.split(":")
    network: PoseNetwork = getattr(import_module(module), function)(options, threads=threads)
    if options.people is not None:
        return TopDown(network, OnnxFinder(options.people, threads=threads))
    return TopDown(network, BlazePoseFinder(threads=threads, offline=offline, progress=progress))


def _listed(names: list[str]) -> str:
    return " and ".join(f"--det-{name}" for name in names)
