"""posecli: ordinary video to 3D human motion."""

__version__ = "0.1.0"
