"""posecli: ordinary video to 3D human motion.

    import posecli

    motion = posecli.lift("video.mp4", method="ddhpose")
    motion.joints_3d                          # (T, 17, 3) metres
    motion = posecli.load("posecli_out/video.npz")  # the same, from a file

What stands here is imported when it is first asked for: `import posecli` costs nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from posecli.errors import PosecliError
    from posecli.export.npz import load_npz as load
    from posecli.lift import LiftConfig
    from posecli.motion import Motion
    from posecli.pipeline import lift, lift_to_files

__version__ = "0.1.0"
__all__ = ["LiftConfig", "Motion", "PosecliError", "__version__", "lift", "lift_to_files", "load"]

_HOMES = {
    "LiftConfig": ("posecli.lift", "LiftConfig"),
    "Motion": ("posecli.motion", "Motion"),
    "PosecliError": ("posecli.errors", "PosecliError"),
    "lift_to_files": ("posecli.pipeline", "lift_to_files"),
    "load": ("posecli.export.npz", "load_npz"),
}


class _Package(ModuleType):
    """Looks names up in `_HOMES`. `posecli.lift` is a function here and a module on disk: Python would put the
    module in the function's place once it is imported, hence a property that cannot be overwritten."""

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        home, real_name = _HOMES[name]
        return getattr(import_module(home), real_name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_HOMES})

    @property
    def lift(self) -> Any:
        return import_module("posecli.pipeline").lift

    @lift.setter
    def lift(self, module: ModuleType) -> None:
        pass


sys.modules[__name__].__class__ = _Package
