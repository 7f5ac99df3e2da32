"""A shaded mannequin: corpus points seen by a pinhole camera, as a picture.

For the demo and for fitting the detector model: no textures, no files, only NumPy and OpenCV. Surfaces are
small quadrilaterals painted from far to near, at twice the resolution, then scaled down.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from posecli.corpus.mannequin_body import Clothes, Colour, body_surface
from posecli.corpus.mannequin_room import Ground, Image, Room, cast_shadow, draw_room

_FINE = 2  # oversampling of the person
_SHIFT = 3  # binary digits of a pixel that polygons are placed to
_NEAR = 0.15  # metres; nothing nearer to the camera is drawn

_SKINS = ((168, 190, 232), (150, 175, 222), (120, 150, 200), (90, 120, 175), (60, 84, 130), (45, 62, 96))
_HAIRS = ((30, 32, 38), (40, 58, 82), (70, 110, 150), (60, 72, 120), (150, 152, 155))


@dataclass(frozen=True)
class Style:
    """Everything about a picture that is not motion or camera.

    lamp: direction towards the light, in a frame whose y is up and whose z points at the camera; any length.
    ambient: share of light from everywhere, 0–1. shadow: how dark the shadow on the floor is, 0–1.
    grain: standard deviation of noise on the person, of 255.
    """

    clothes: Clothes = field(
        default_factory=lambda: Clothes(_SKINS[1], _HAIRS[1], (150, 90, 48), (62, 56, 52), (50, 48, 168))
    )
    room: Room = field(default_factory=Room)
    lamp: tuple[float, float, float] = (-0.45, 0.75, 0.6)
    ambient: float = 0.45
    shadow: float = 0.6
    grain: float = 2.0

    def __post_init__(self) -> None:
        if not (0 <= self.ambient <= 1 and 0 <= self.shadow <= 1):
            raise ValueError("ambient and shadow must lie between 0 and 1")
        if not np.linalg.norm(self.lamp) > 0:
            raise ValueError("the lamp needs a direction")

    @classmethod
    def random(cls, rng: np.random.Generator) -> Style:
        """A person in other clothes, in another room and light."""

        def colour(low: int, high: int) -> Colour:
            b, g, r = (int(v) for v in rng.integers(low, high, 3))
            return b, g, r

        def near(grey: float, spread: float) -> Colour:
            b, g, r = (int(v) for v in np.clip(grey + rng.normal(0, spread, 3), 20, 250))
            return b, g, r

        clothes = Clothes(
            skin=_SKINS[rng.integers(len(_SKINS))], hair=_HAIRS[rng.integers(len(_HAIRS))],
            shirt=colour(20, 240), trousers=near(rng.uniform(30, 160), 25), shoes=colour(20, 230),
            sleeve=float(rng.choice([0.12, 0.28, 0.32, 0.6, 1.0])), leg=float(rng.choice([0.42, 0.55, 1.0, 1.0])),
            hair_length=float(rng.uniform(-0.3, 1)), girth=float(rng.uniform(0.85, 1.25)),
        )  # fmt: skip
        room = Room(
            wall=near(rng.uniform(90, 225), 12), floor=near(rng.uniform(60, 190), 18),
            skirting=near(rng.uniform(60, 235), 5),
            wall_m=float(rng.uniform(0.8, 4)), plank_m=float(rng.uniform(0.08, 0.5)), seed=int(rng.integers(2**31)),
        )  # fmt: skip
        lamp = (float(rng.uniform(-1, 1)), float(rng.uniform(0.5, 1)), float(rng.uniform(-0.2, 1)))
        return cls(clothes, room, lamp, float(rng.uniform(0.35, 0.6)), float(rng.uniform(0.35, 0.75)))


class Stage:
    """A still camera in a room: draws the room once, then one person per call."""

    def __init__(
        self, k: NDArray[np.floating], size: tuple[int, int], style: Style, ground: Ground, distance: float
    ) -> None:
        """k: (3, 3) pixels; size: (width, height); distance: roughly how far away people are, metres."""
        self.k = np.asarray(k, dtype=np.float64)
        self.size = size
        self.style = style
        self.ground = ground
        self.room = draw_room(self.k, size, ground, distance, style.room)
        up = np.array(ground.up)
        back = np.array([0.0, 0.0, -1.0]) - up * -up[2]
        if np.linalg.norm(back) < 0.1:
            back = np.array([0.0, 1.0, 0.0]) - up * up[1]
        back /= np.linalg.norm(back)
        lamp = style.lamp[0] * np.cross(up, back) + style.lamp[1] * up + style.lamp[2] * back
        self.lamp = lamp / np.linalg.norm(lamp)

    def render(self, points: NDArray[np.floating], seed: int = 0) -> Image:
        """Points (28, 3) in the camera frame, metres → picture (height, width, 3), blue, green, red.

        `seed` is of the grain. Where the body comes nearer than 15 cm to the camera it is cut away.
        """
        picture = self.room.copy()
        if points[..., 2].min() > _NEAR:
            cast_shadow(picture, points, self.k, self.ground, self.lamp, self.style.shadow)
        self._paint(picture, *body_surface(points, self.style.clothes), seed)
        return picture

    def _paint(
        self,
        picture: Image,
        quads: NDArray[np.float32],
        colours: NDArray[np.float32],
        bias: NDArray[np.float32],
        seed: int,
    ) -> None:
        normals = np.cross(quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1])
        centres = quads.mean(axis=1)
        keep = (np.einsum("qc,qc->q", normals, centres) < 0) & (quads[..., 2].min(axis=1) > _NEAR)
        order = np.flatnonzero(keep)
        order = order[np.argsort(-centres[order, 2] - bias[order])]
        quads, colours, normals = quads[order], colours[order], normals[order]
        focal, middle = self.k[[0, 1], [0, 1]].astype(np.float32), self.k[:2, 2].astype(np.float32)
        pixels = quads[..., :2] / quads[..., 2:] * focal + middle
        if not len(pixels):
            return
        width, height = self.size
        left, top = np.clip(np.floor(pixels.min(axis=(0, 1))) - 2, 0, [width, height]).astype(int)
        right, bottom = np.clip(np.ceil(pixels.max(axis=(0, 1))) + 3, 0, [width, height]).astype(int)
        if right <= left or bottom <= top:
            return
        light = self._light(normals)
        shaded = np.clip(colours * light[:, None], 0, 255)
        box = picture[top:bottom, left:right]
        canvas = cv2.resize(box, None, fx=_FINE, fy=_FINE, interpolation=cv2.INTER_NEAREST)
        # Pixel centres are at whole numbers in the small picture and at (2x + ½) in the large one.
        placed = ((pixels - np.array([left, top])) * _FINE + (_FINE - 1) / 2) * (1 << _SHIFT)
        placed = np.round(np.clip(placed, -(1 << 20), 1 << 20)).astype(np.int32)
        before = box.copy()
        fill = cv2.fillConvexPoly
        for corners, colour in zip(placed, shaded.tolist(), strict=True):
            fill(canvas, corners, colour, cv2.LINE_8, _SHIFT)
        drawn = cv2.resize(canvas, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
        if self.style.grain > 0:
            noise = np.zeros(drawn.shape[:2], np.int16)
            cv2.setRNGSeed(seed + 1)
            cv2.randn(noise, 0, self.style.grain)
            changed = (drawn != before).any(axis=-1)
            noisy = np.clip(drawn.astype(np.int16) + noise[..., None], 0, 255).astype(np.uint8)
            drawn[changed] = noisy[changed]
        box[:] = drawn

    def _light(self, normals: NDArray[np.float32]) -> NDArray[np.float32]:
        """Brightness of each face: light from the lamp, and from everywhere with a little more from above."""
        n = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
        direct = np.clip(n @ self.lamp.astype(np.float32), 0, None)
        sky = 0.75 + 0.25 * (n @ np.array(self.ground.up, np.float32))
        return (self.style.ambient * sky + (1.05 - self.style.ambient) * direct).astype(np.float32) + 0.12
