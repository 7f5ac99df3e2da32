"""How a user starts the program."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

COMMAND = [sys.executable, "-m", "posecli"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
