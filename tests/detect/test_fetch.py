"""The two networks: fetched, checked, cached; and what is said when they cannot be had."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from posecli.errors import NetworkError, OutputError
from posecli.weights.fetch import blazepose_cached, blazepose_files


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setenv("POSECLI_CACHE", str(cache))
    return cache


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pip that can reach nothing."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)


def test_offline_says_how_to_get_them(empty_cache: Path) -> None:
    with pytest.raises(NetworkError) as caught:
        blazepose_files(offline=True)
    message = str(caught.value)
    assert "posecli weights pull blazepose" in message and "POSECLI_CACHE" in message
    assert str(empty_cache) in message and "\n" not in message
    assert not empty_cache.exists()  # offline never tries


def test_no_route_is_one_line(empty_cache: Path, no_index: None) -> None:
    with pytest.raises(NetworkError, match="posecli weights pull blazepose") as caught:
        blazepose_files()
    assert "mediapipe==0.10.21" in str(caught.value) and "\n" not in str(caught.value)
    assert list((empty_cache / "blazepose").iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("POSECLI_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="set POSECLI_CACHE to a writable folder"):
        blazepose_files()


def test_two_processes_fetch_at_once(empty_cache: Path) -> None:
    """Both end well, the files are the published ones, nothing else stays, and damage is noticed."""
    program = "from posecli.weights.fetch import blazepose_files as f; f(progress=lambda a, b: print(a, b))"
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [run.communicate(timeout=120) for run in runs]
    if any("NetworkError" in error for _, error in said):
        pytest.skip(f"the package index cannot be reached: {said[0][1].splitlines()[-1]}")
    assert [run.returncode for run in runs] == [0, 0], said
    done = [tuple(map(int, line.split())) for line in said[0][0].splitlines()]
    assert done == sorted(done) and done[-1] == (35_622_638, 35_622_638)

    files = blazepose_files(offline=True)
    assert hashlib.sha256(files.detection.read_bytes()).hexdigest().startswith("9ba9dd3d42ef")
    assert hashlib.sha256(files.landmark.read_bytes()).hexdigest().startswith("e9a5c5cb17f7")
    assert sorted(p.name for p in (empty_cache / "blazepose").iterdir()) == [
        "pose_detection.tflite",
        "pose_landmark_full.tflite",
    ]
    damaged = bytearray(files.landmark.read_bytes())
    damaged[1000] ^= 1
    files.landmark.write_bytes(damaged)
    assert not blazepose_cached()
    with pytest.raises(NetworkError):
        blazepose_files(offline=True)
