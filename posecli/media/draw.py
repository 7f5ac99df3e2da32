"""Drawing people with OpenCV: over the picture in 2D, and on a floor in 3D.

Left is orange, right is blue, the middle is light; the nearer, the brighter and thicker. Pictures are (H, W, 3)
uint8 BGR and are drawn into. Points that are not finite are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from posecli.skeleton import Skeleton

Image = NDArray[np.uint8]
Array = NDArray[np.float64]
Colour = tuple[int, int, int]

LEFT: Colour = (64, 150, 255)
RIGHT: Colour = (255, 172, 72)
MIDDLE: Colour = (232, 230, 226)
DARK: Colour = (30, 26, 24)
FAINT: Colour = (150, 142, 136)

_SHIFT = 4  # OpenCV takes coordinates in 1/16 pixel
_FAR_AWAY = 30_000.0  # pixels; beyond it OpenCV's integers overflow
_UNSURE = 0.3  # a score below this is drawn thin and pale


def joint_colours(skeleton: Skeleton) -> list[Colour]:
    """One colour per joint; a bone has that of its child."""
    colours = [MIDDLE] * skeleton.num_joints
    for side, colour in ((skeleton.left, LEFT), (skeleton.right, RIGHT)):
        for joint in side:
            colours[joint] = colour
    return colours


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with `share` of `b`, 0 to 1."""
    first, second, third = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return first, second, third


def line(image: Image, a: Array, b: Array, colour: Colour, width: float) -> None:
    """A smooth line between two points (2,) in pixels, with round ends."""
    cv2.line(image, _fixed(a), _fixed(b), colour, max(1, round(width)), cv2.LINE_AA, _SHIFT)


def disc(image: Image, centre: Array, radius: float, colour: Colour, width: int = cv2.FILLED) -> None:
    """A smooth disc, or a ring of that line width."""
    cv2.circle(image, _fixed(centre), round(radius * (1 << _SHIFT)), colour, width, cv2.LINE_AA, _SHIFT)


def text(image: Image, words: str, at: tuple[int, int], size: float, colour: Colour) -> None:
    """One line of text, its left lower corner at `at`; `size` is about the height of a capital in pixels."""
    scale = size / 21
    cv2.putText(image, words, at, cv2.FONT_HERSHEY_DUPLEX, scale, colour, max(1, round(scale)), cv2.LINE_AA)


def text_width(words: str, size: float) -> int:
    (width, _), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_DUPLEX, size / 21, max(1, round(size / 21)))
    return int(width)


def draw_keypoints(
    image: Image, points: NDArray[np.floating], scores: NDArray[np.floating], skeleton: Skeleton
) -> None:
    """2D skeleton over a picture. points: (J, 2) pixels of this picture, scores: (J,) in 0 to 1."""
    unit = max(image.shape[:2]) / 400
    points = points.astype(np.float64)
    seen = np.isfinite(points).all(axis=-1)
    colours = joint_colours(skeleton)
    bones = [(a, b) for a, b in skeleton.bones if seen[a] and seen[b]]
    sure = {b: min(scores[a], scores[b]) >= _UNSURE for a, b in bones}
    for a, b in bones:  # a dark rim keeps the lines readable on any background
        line(image, points[a], points[b], DARK, (2.2 if sure[b] else 1.4) * unit)
    for a, b in bones:
        colour = colours[b] if sure[b] else mix(colours[b], FAINT, 0.6)
        line(image, points[a], points[b], colour, (1.3 if sure[b] else 0.7) * unit)
    for joint in np.flatnonzero(seen):
        radius = (1.5 if scores[joint] >= _UNSURE else 1.0) * unit
        disc(image, points[joint], radius + 0.5 * unit, DARK)
        disc(image, points[joint], radius, colours[joint])


@dataclass(frozen=True)
class View:
    """A camera that looks at the middle of the stage. World: y up, metres, floor at y = 0.

    size: pixels of the square picture. reach: radius in metres of the sphere that must fit. height: of its
    centre over the floor. azimuth_deg: 0 looks from +z, positive from the right (+x); elevation_deg: from above.
    """

    size: int
    reach: float
    height: float
    azimuth_deg: float = 25.0
    elevation_deg: float = 14.0
    fov_deg: float = 30.0

    @property
    def focal(self) -> float:
        return self.size / 2 / float(np.tan(np.deg2rad(self.fov_deg) / 2))

    @property
    def distance(self) -> float:
        return self.reach / float(np.sin(np.deg2rad(self.fov_deg) / 2))

    def axes(self) -> Array:
        """Rows: the picture's right, its down, and forward."""
        a, e = np.deg2rad([self.azimuth_deg, self.elevation_deg])
        right = np.array([np.cos(a), 0.0, -np.sin(a)])
        forward = -np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
        return np.stack([right, np.cross(forward, right), forward])

    def project(self, points: Array) -> tuple[Array, Array]:
        """World points (..., 3) → pixels (..., 2) and depth (...) in metres."""
        seen = (points - (0.0, self.height, 0.0)) @ self.axes().T
        depth = np.maximum(seen[..., 2] + self.distance, 0.1)
        return self.focal * seen[..., :2] / depth[..., None] + self.size / 2, depth


class Stage:
    """A lit floor with a half-metre grid, drawn once; people are drawn on copies of it."""

    GRID_M = 0.5

    def __init__(self, view: View) -> None:
        self.view = view
        self._radius = 2.2 * view.reach
        self._light = self._lit()
        self._lines = self._grid()

    def empty(self, centre: tuple[float, float] = (0.0, 0.0)) -> Image:
        """A fresh picture (size, size, 3) of the floor around the point (x, z) of the world."""
        image = self._light.copy()
        shift = np.array([-(centre[0] % self.GRID_M), 0.0, -(centre[1] % self.GRID_M)])
        ends = self._lines + shift
        away = np.linalg.norm(ends.mean(axis=1)[:, [0, 2]], axis=-1) / self._radius
        pixels, _ = self.view.project(ends)
        fixed = np.round(pixels * (1 << _SHIFT)).astype(np.int32)
        levels = np.ceil(np.clip(1 - away, 0, 1) ** 1.5 * 6).astype(int)
        for level in range(1, 7):  # lines fade towards the rim
            colour = mix((46, 41, 38), (104, 96, 90), level / 6)
            cv2.polylines(image, list(fixed[levels == level]), False, colour, 1, cv2.LINE_AA, _SHIFT)
        return image

    def draw(self, image: Image, joints: Array, std: Array, skeleton: Skeleton) -> None:
        """A person. joints: (J, 3) metres relative to the stage's middle; std: (J,) metres, shown as rings."""
        if not np.isfinite(joints).all():
            return
        pixels, depth = self.view.project(joints)
        scale = self.view.focal / depth
        self._shadow(image, joints, skeleton)
        colours = [self._in_depth(c, d) for c, d in zip(joint_colours(skeleton), depth, strict=True)]
        for ring in np.flatnonzero(np.nan_to_num(std) > 0.03):
            radius = min(std[ring], 0.5) * scale[ring]
            disc(image, pixels[ring], radius, mix(colours[ring], DARK, 0.55), 1)
        rim = 0.007
        bones = [((depth[a] + depth[b]) / 2, a, b) for a, b in skeleton.bones]
        for middle, a, b in sorted(bones, reverse=True):
            width = 0.036 * self.view.focal / middle
            line(image, pixels[a], pixels[b], DARK, width + 2 * rim * self.view.focal / middle)
            line(image, pixels[a], pixels[b], colours[b], width)
            for joint in sorted((a, b), key=lambda j: -depth[j]):
                disc(image, pixels[joint], 0.027 * scale[joint], mix(colours[joint], DARK, 0.35))
                disc(image, pixels[joint], 0.018 * scale[joint], mix(colours[joint], (255, 255, 255), 0.35))

    def _shadow(self, image: Image, joints: Array, skeleton: Skeleton) -> None:
        """What a lamp above the stage would make: drawn small, blurred, and taken from the floor's light."""
        small = self.view.size // 4
        flat, depth = self.view.project(joints * (1.0, 0.0, 1.0))
        flat = flat / 4
        light = np.full((small, small), 255, np.uint8)
        for a, b in skeleton.bones:
            line(light, flat[a], flat[b], (90, 90, 90), 0.07 * self.view.focal / 4 / depth[a])
        margin = self.view.size // 40
        low = np.clip(np.floor(flat.min(axis=0)) - margin, 0, small).astype(int)
        high = np.clip(np.ceil(flat.max(axis=0)) + margin, 0, small).astype(int)
        if (high <= low).any():
            return
        light = cv2.GaussianBlur(light[low[1] : high[1], low[0] : high[0]], (0, 0), margin / 4)
        light = cv2.resize(light, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
        under = image[4 * low[1] : 4 * high[1], 4 * low[0] : 4 * high[0]]
        under[:] = cv2.multiply(under, cv2.merge([light, light, light]), scale=1 / 255)

    def _in_depth(self, colour: Colour, depth: float) -> Colour:
        share = (depth - self.view.distance) / (2 * self.view.reach) + 0.5
        return mix(colour, DARK, 0.55 * float(np.clip(share, 0, 1)))

    def _lit(self) -> Image:
        """Background and the pool of light on the floor, by casting one ray per pixel."""
        view = self.view
        right, down, forward = view.axes()
        steps = (np.arange(view.size) + 0.5 - view.size / 2) / view.focal
        rays = forward + steps[None, :, None] * right + steps[:, None, None] * down
        eye = np.array([0.0, view.height, 0.0]) - view.distance * forward
        falling = np.minimum(rays[..., 1], -1e-6)
        hit = eye + rays * (-eye[1] / falling)[..., None]
        away = np.hypot(hit[..., 0], hit[..., 2]) / self._radius
        light = np.clip(1 - away, 0, 1) ** 2 * (rays[..., 1] < 0)
        rise = np.linspace(0, 1, view.size)[:, None]
        shade = 30 + 8 * rise + 30 * light
        # A little noise hides the bands that eight bits and compression would show.
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, shade.shape)
        return np.clip((shade + noise)[..., None] * (1.0, 0.91, 0.86), 0, 255).round().astype(np.uint8)

    def _grid(self) -> Array:
        """Short pieces (N, 2, 3) of the grid lines, one spacing more than the radius on each side."""
        count = int(np.ceil(self._radius / self.GRID_M)) + 1
        along = np.arange(-count, count + 0.5, 0.5) * self.GRID_M
        across = np.arange(-count, count + 1) * self.GRID_M
        start, offset = (g.ravel() for g in np.meshgrid(along[:-1], across))
        zero, end = np.zeros_like(start), start + 0.5 * self.GRID_M
        in_x = np.stack([np.stack([start, zero, offset], -1), np.stack([end, zero, offset], -1)], axis=1)
        return np.concatenate([in_x, in_x[..., ::-1]])


def _fixed(point: Array) -> tuple[int, int]:
    x, y = np.clip(point, -_FAR_AWAY, _FAR_AWAY) * (1 << _SHIFT)
    return round(x), round(y)
