"""Results that lie there already: from which source and with which settings they were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from posecli.detect.provenance import difference, source_identity
from posecli.detect.store import load_detections
from posecli.errors import InputError
from posecli.export.npz import load_npz
from posecli.motion import Motion


def earlier_motion(npz: Path, source: Path) -> Motion | None:
    """What an earlier run made of `source` (a video, pictures or a detections file), if `npz` is that."""
    try:
        motion = load_npz(npz)
        made = motion.settings.get("detection")
        if not isinstance(made, dict):
            return None
        if source.suffix == ".h5" and source.is_file():
            identity = load_detections(source).keypoints.provenance["source"]
        else:
            identity = source_identity(source)
    except InputError:
        return None
    same = (
        difference({"source": _without_rate(made.get("source"))}, {"source": _without_rate(identity)}) is None
    )
    return motion if same else None


def changed_setting(motion: Motion, record: dict[str, Any], detection: dict[str, Any]) -> str | None:
    """The first thing that differs from the run that made `motion`, in words; None where nothing does.

    record: method, weights and settings of lifting; detection: provenance of the keypoints.
    """
    for key, value in json.loads(json.dumps(record)).items():
        if (was := motion.settings.get(key)) != value:
            return f"{key} was {str(was)[:40]}"
    return difference(motion.settings["detection"], json.loads(json.dumps(detection)))


def _without_rate(source: Any) -> Any:
    """The rate given for pictures is a setting, not the source."""
    return {k: v for k, v in source.items() if k != "fps"} if isinstance(source, dict) else source
