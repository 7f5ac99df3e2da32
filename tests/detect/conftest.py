"""The real detector on real clips, run once for all tests that look at what it gives."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
from detect_runs import Run, Tee

from posecli.detect import BlazePose, DetectionsWriter, load_detections, provenance
from posecli.errors import NetworkError
from posecli.media import Frame, open_media


@pytest.fixture(scope="session")
def blazepose() -> BlazePose:
    try:
        return BlazePose(threads=1)  # two threads wait for each other on a busy machine
    except NetworkError as error:
        pytest.skip(f"the BlazePose networks cannot be had: {error}")


@pytest.fixture(scope="session", params=["opencap_STS", "opencap_walk_ts", "sam2_juggle"])
def run(
    request: pytest.FixtureRequest,
    blazepose: BlazePose,
    shared_data: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """The first 120 frames of a clip."""
    video = shared_data / "videos" / request.param / "video.mp4"
    path = tmp_path_factory.mktemp("detections") / f"{request.param}.detections.h5"
    source = open_media(video)
    wanted = provenance(blazepose, video)
    with DetectionsWriter(path, wanted) as file:
        tee = Tee(file)
        size = (source.info.width, source.info.height)
        keypoints = blazepose.detect(islice(iter(source), 120), size, heatmaps=tee)
        file.finish(keypoints)
    return Run(path, len(keypoints), keypoints, tee.raw, load_detections(path), wanted)


@pytest.fixture(scope="session")
def walk(shared_data: Path) -> list[Frame]:
    """Forty frames of a walk, 720 × 1280."""
    return list(islice(iter(open_media(shared_data / "videos" / "opencap_walk_ts" / "video.mp4")), 40))
