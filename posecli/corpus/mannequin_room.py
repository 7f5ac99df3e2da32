"""A plain room for the mannequin to stand in, and the shadow that it casts there."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from posecli.corpus.mannequin_body import Colour
from posecli.corpus.store import POINT_NAMES
from posecli.skeleton import H36M17

Image = NDArray[np.uint8]
_SHADOW_SCALE = 4  # the shadow is soft: drawn this much smaller
_THICK = {"Spine": 0.13, "Thorax": 0.15, "LKnee": 0.07, "RKnee": 0.07, "Head": 0.10}


@dataclass(frozen=True)
class Ground:
    """The floor in the camera frame: all x with up · x = height. `up` is a unit vector."""

    up: tuple[float, float, float]
    height: float


@dataclass(frozen=True)
class Room:
    """Colours (blue, green, red) and layout. `wall_m`: how far behind the origin of the floor the wall stands."""

    wall: Colour = (190, 196, 198)
    floor: Colour = (112, 134, 152)
    skirting: Colour = (225, 228, 230)
    wall_m: float = 2.5
    plank_m: float = 0.18
    grain: float = 2.5
    seed: int = 0


def draw_room(
    k: NDArray[np.floating], size: tuple[int, int], ground: Ground, distance: float, room: Room
) -> Image:
    """Picture (height, width, 3) of the empty room. `distance`: of the person, metres; the wall is behind."""
    width, height = size
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x, y = (x - np.float32(k[0, 2])) / np.float32(k[0, 0]), (y - np.float32(k[1, 2])) / np.float32(k[1, 1])
    up = np.array(ground.up, dtype=np.float32)
    forward = np.array([0, 0, 1], dtype=np.float32)
    forward = forward - up * (forward @ up)
    if np.linalg.norm(forward) < 0.1:  # looking straight down: "behind" is where the picture's top is
        forward = np.array([0, -1, 0], dtype=np.float32) - up * -up[1]
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, up)
    # Plain sums: a threaded matrix product of this shape is slower, and very slow on a busy machine.
    ahead, rise, side = (x * v[0] + y * v[1] + v[2] for v in (forward, up, right))
    with np.errstate(divide="ignore", invalid="ignore"):
        to_floor = np.where(rise < -1e-4, ground.height / rise, np.inf)
        to_wall = np.where(ahead > 1e-4, (distance + room.wall_m) / ahead, np.inf)
    on_floor = to_floor < to_wall
    t = np.minimum(np.where(on_floor, to_floor, to_wall), 60.0)
    picture = np.empty((height, width, 3), np.float32)
    # Wall: lighter above, a skirting board below. Floor: planks that run away from the camera.
    rise_m = np.clip(rise * t - ground.height, 0, 4)
    wall = np.array(room.wall, np.float32) * (0.86 + 0.05 * rise_m + 0.03 * np.cos(side * t * 0.9))[..., None]
    picture[:] = np.where((rise_m < 0.09)[..., None], np.array(room.skirting, np.float32), wall)
    plank = np.floor(side * t / room.plank_m)
    tone = 0.94 + 0.06 * np.sin(plank * 12.9898 + 4.1) + 0.02 * np.sin(ahead * t * 1.7 + plank * 2.3)
    seam = np.abs(side * t / room.plank_m - plank - 0.5) > 0.5 - np.minimum(0.02 + 0.0015 * t, 0.06)
    shade = (tone - 0.10 * seam) * np.clip(1.06 - 0.03 * t, 0.75, 1.1)
    picture[on_floor] = (np.array(room.floor, np.float32) * shade[..., None])[on_floor]
    grain = np.random.default_rng(room.seed).normal(0, room.grain, (height, width, 1)).astype(np.float32)
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def cast_shadow(
    picture: Image, points: NDArray[np.floating], k: NDArray[np.floating], ground: Ground,
    light: NDArray[np.floating], strength: float,
) -> None:  # fmt: skip
    """Darken `picture` in place where the body keeps light from the floor; `light` points towards the lamp."""
    up = np.array(ground.up)
    over = points @ up - ground.height
    slope = max(float(light @ up), 0.35)
    fallen = points - over[:, None] * (light / slope)
    if (fallen[:, 2] < 0.2).any():
        return
    small = picture.shape[1] // _SHADOW_SCALE, picture.shape[0] // _SHADOW_SCALE
    zoom = 1 / _SHADOW_SCALE
    pixels = fallen @ k.T
    pixels = np.clip(pixels[:, :2] / pixels[:, 2:] * zoom, -2000, 2000).astype(int)
    focal = float(k[0, 0]) * zoom
    mask = np.zeros((small[1], small[0]), np.uint8)
    name = {n: i for i, n in enumerate(POINT_NAMES)}
    bones = [(a, b, _THICK.get(H36M17.joint_names[b], 0.06)) for a, b in H36M17.bones]
    for a, b, thick in bones:
        width = max(1, round(2 * thick * focal / float(fallen[b, 2]) * 0.7))
        cv2.line(mask, pixels[a].tolist(), pixels[b].tolist(), 255, width, cv2.LINE_AA)
    soft = cv2.GaussianBlur(mask, (0, 0), max(1.0, 0.05 * focal / float(fallen[0, 2])))
    contact = np.zeros_like(mask)
    for side in ("left", "right"):
        a, b = name[f"{side}_heel"], name[f"{side}_foot_index"]
        lift = float(min(over[a], over[b]))
        width = max(1, round(0.10 * focal / float(fallen[b, 2])))
        tone = int(255 * np.clip(1 - lift / 0.15, 0, 1))
        cv2.line(contact, pixels[a].tolist(), pixels[b].tolist(), tone, width, cv2.LINE_AA)
    contact = cv2.GaussianBlur(contact, (0, 0), max(0.8, 0.018 * focal / float(fallen[0, 2])))
    dark = 1 - strength * np.maximum(0.55 * soft, contact).astype(np.float32) / 255
    rows, columns = np.flatnonzero(dark.min(axis=1) < 0.995), np.flatnonzero(dark.min(axis=0) < 0.995)
    if not len(rows) or not len(columns):
        return
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    s = _SHADOW_SCALE
    part = picture[top * s : bottom * s, left * s : right * s]
    whole = cv2.resize(dark[top:bottom, left:right], (part.shape[1], part.shape[0]))
    part[:] = (part * whole[..., None]).astype(np.uint8)
