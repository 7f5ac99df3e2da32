"""The program as a user starts it: another process, with what it said and how it ended."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from as_a_user import COMMAND, Run


@pytest.fixture
def posecli(tmp_path: Path) -> Run:
    """`posecli("lift", video, …)` runs in an empty folder; keyword arguments are environment variables."""
    folder = tmp_path / "here"
    folder.mkdir()

    def run(*arguments: object, cwd: Path = folder, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run
