"""posecli: ordinary video to 3D human motion.

    import posecli

    motion = posecli.lift("video.mp4", method="ddhpose")
    motion.joints_3d                          # (T, 17, 3) metres
    motion = posecli.load("posecli_out/video.npz")  # the same, from a file

What stands here is imported when it is first asked for: `import posecli` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from posecli.errors import PosecliError
    from posecli.export.npz import load_npz as load
    from posecli.lifting import LiftConfig
    from posecli.motion import Motion
    from posecli.pipeline import lift, lift_to_files

__version__ = "0.1.0"
__all__ = ["LiftConfig", "Motion", "PosecliError", "__version__", "lift", "lift_to_files", "load"]

_HOMES = {
    "LiftConfig": ("posecli.lifting", "LiftConfig"),
    "Motion": ("posecli.motion", "Motion"),
    "PosecliError": ("posecli.errors", "PosecliError"),
    "lift": ("posecli.pipeline", "lift"),
    "lift_to_files": ("posecli.pipeline", "lift_to_files"),
    "load": ("posecli.export.npz", "load_npz"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, real_name = _HOMES[name]
    return getattr(import_module(home), real_name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
