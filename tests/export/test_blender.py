"""The BVH as Blender reads it. Needs `pip install bpy`, here or in the Python that $POSECLI_BPY_PYTHON names."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from posecli.corpus.bvh import read_bvh
from posecli.export.bvh import save_bvh
from posecli.motion import Motion

BESIDE_CHECKOUT = Path(__file__).resolve().parents[3] / "env" / "bpy" / "bin" / "python"

SCRIPT = """
import sys, bpy, numpy as np
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_anim.bvh(filepath=sys.argv[1], update_scene_fps=True, update_scene_duration=True)
(rig,) = [o for o in bpy.data.objects if o.type == "ARMATURE"]
scene, heads = bpy.context.scene, []
for frame in range(1, int(sys.argv[3]) + 1):
    scene.frame_set(frame)
    heads.append([list(rig.matrix_world @ bone.head) for bone in rig.pose.bones])
np.savez(sys.argv[2], names=[b.name for b in rig.pose.bones], heads=heads, fps=scene.render.fps / scene.render.fps_base)
"""


def blender_python() -> str:
    if importlib.util.find_spec("bpy"):
        return sys.executable
    for python in (os.environ.get("POSECLI_BPY_PYTHON"), BESIDE_CHECKOUT):
        if python and Path(python).exists():
            return str(python)
    pytest.skip("bpy is not installed (pip install bpy, or set $POSECLI_BPY_PYTHON)")


def test_blender_puts_every_joint_where_we_do(
    tmp_path: Path, t_pose: np.ndarray, make_motion: Callable[..., Motion]
) -> None:
    """Default import settings map (x, y, z) to (x, -z, y): a figure that faces +z faces Blender's front."""
    python = blender_python()
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.normal(0, 0.02, (20, 17, 3)), axis=0)
    path = np.stack([np.linspace(0, 1, 20), np.zeros(20), np.linspace(4, 3, 20)], axis=1).astype(np.float32)
    motion = make_motion(t_pose + walk - walk[:, :1], rate=30000 / 1001, root_path=path)
    target = tmp_path / "a.bvh"
    save_bvh(motion, target, units="m")
    (tmp_path / "import.py").write_text(SCRIPT)
    done = subprocess.run(
        [python, tmp_path / "import.py", target, tmp_path / "heads.npz", "20"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    ours = read_bvh(target.read_bytes()).pose()
    with np.load(tmp_path / "heads.npz") as theirs:
        assert float(theirs["fps"]) == pytest.approx(29.97, abs=0.001)
        names = [str(name) for name in theirs["names"]]
        assert len(names) == 20
        for name, head in zip(names, theirs["heads"].transpose(1, 0, 2), strict=True):
            x, y, z = ours.at(name).T
            np.testing.assert_allclose(head, np.stack([x, -z, y], axis=-1), atol=1e-4, err_msg=name)
        left, right = (theirs["heads"][0, names.index(f"{side}Hand")] for side in ("Left", "Right"))
    # Seen from Blender's front (towards +y), the left hand of somebody who faces us is on the right (+x).
    assert left[0] > 0.5 and right[0] < -0.5
