"""Shipped weights beside their records: what is missing or damaged is said by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from posecli.cli.main import main
from posecli.errors import ExitCode
from posecli.weights import store


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what ships, to be damaged."""
    folder = tmp_path / "weights"
    shutil.copytree(store.shipped_folder(), folder, ignore=shutil.ignore_patterns("ablations", "*.png"))
    monkeypatch.setattr(store, "shipped_folder", lambda: folder)
    return folder


def test_what_ships_is_intact(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {c.state for c in store.verify()} == {"intact"}
    assert main(["weights", "verify"]) == ExitCode.OK
    assert "MISSING" not in capsys.readouterr().out


def test_missing_cut_and_foreign_files_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "ddhpose-cmu.safetensors").unlink()
    cut = folder / "mixste-cmu.safetensors"
    cut.write_bytes(cut.read_bytes()[:1000])
    (folder / "own.safetensors").write_bytes(b"")
    bad = "ddhpose-cmu (MISSING), mixste-cmu (DIFFERS), own (not recorded); reinstall posecli"
    assert main(["weights", "verify"]) == ExitCode.INPUT
    said = capsys.readouterr()
    assert said.err == f"error: not as recorded in {folder / 'SHA256SUMS'}: {bad}\n"
    assert [line.split("\t")[:2] for line in said.out.splitlines() if line.startswith("ddhpose-cmu")] == [
        ["ddhpose-cmu", "MISSING"]
    ]
    assert main(["doctor"]) == ExitCode.ERROR
    (line,) = (line for line in capsys.readouterr().out.splitlines() if " weights " in line)
    assert line.startswith("BAD") and line.endswith(f"not as recorded: {bad}")


@pytest.mark.parametrize("content", [None, b"junk\n", b"\xff\xfe\n"])
def test_damaged_records_are_one_line(
    content: bytes | None, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sums = folder / "SHA256SUMS"
    sums.unlink()
    if content is not None:
        sums.write_bytes(content)
    assert main(["weights", "verify"]) == ExitCode.INPUT
    says = f"{sums} is missing or damaged; reinstall posecli"
    assert capsys.readouterr().err == f"error: {says}\n"
    assert main(["doctor"]) == ExitCode.ERROR
    assert says in capsys.readouterr().out
