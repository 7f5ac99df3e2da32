"""A corpus of two people, one to train on and one to validate on."""

from __future__ import annotations

from pathlib import Path

import pytest

from posecli.corpus.store import Clip, write_corpus
from posecli.demo import shipped_motion


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "corpus.h5"
    points = shipped_motion().points
    write_corpus(
        path, [Clip(points, 30.0, subject, 1, "A", 0, "made for a test", True, 1.0) for subject in (16, 5)]
    )
    return path
