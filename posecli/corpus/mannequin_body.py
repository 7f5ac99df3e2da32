"""The surface of a mannequin: 28 corpus points → coloured quadrilaterals.

Every part is a loft: rings of vertices along an axis. Shapes are in metres for an adult and scale with the
body that the points describe. Quadrilaterals wind so that their normals point outwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from posecli.corpus.store import POINT_NAMES

Floats = NDArray[np.float32]
Colour = tuple[int, int, int]

_P = {name: k for k, name in enumerate(POINT_NAMES)}
_AROUND = 24  # vertices of a ring

# From joint to joint: (start, end, radii at equal steps along the bone).
_LIMBS = (
    ("LHip", "LKnee", (0.082, 0.084, 0.076, 0.066, 0.058)),
    ("RHip", "RKnee", (0.082, 0.084, 0.076, 0.066, 0.058)),
    ("LKnee", "LAnkle", (0.056, 0.060, 0.056, 0.044, 0.040)),
    ("RKnee", "RAnkle", (0.056, 0.060, 0.056, 0.044, 0.040)),
    ("LShoulder", "LElbow", (0.050, 0.052, 0.048, 0.044, 0.041)),
    ("RShoulder", "RElbow", (0.050, 0.052, 0.048, 0.044, 0.041)),
    ("LElbow", "LWrist", (0.041, 0.043, 0.039, 0.033, 0.028)),
    ("RElbow", "RWrist", (0.041, 0.043, 0.039, 0.033, 0.028)),
)
_LIMB_RINGS = 16
_CAP = 4  # rings of each rounded end

# Head: height over the ear axis; half width; reach to the front and to the back.
_HEAD = np.array(
    [
        (-0.118, 0.004, 0.066, -0.050), (-0.112, 0.024, 0.082, -0.028), (-0.095, 0.042, 0.088, 0.000),
        (-0.070, 0.055, 0.090, 0.030), (-0.045, 0.063, 0.090, 0.055), (-0.020, 0.069, 0.090, 0.074),
        (0.005, 0.073, 0.090, 0.086), (0.030, 0.075, 0.094, 0.093), (0.055, 0.074, 0.094, 0.094),
        (0.080, 0.069, 0.086, 0.088), (0.100, 0.058, 0.070, 0.074), (0.115, 0.042, 0.048, 0.055),
        (0.126, 0.022, 0.024, 0.030), (0.130, 0.003, 0.003, 0.004),
    ],
    dtype=np.float32,
)  # fmt: skip
# Shoe: place from heel to toe (0 to 1); half width; lower and upper side over the sole.
_SHOE = np.array(
    [
        (-0.10, 0.010, 0.020, 0.050), (-0.07, 0.026, 0.006, 0.075), (0.05, 0.034, 0.0, 0.090),
        (0.25, 0.036, 0.0, 0.098),
        (0.45, 0.038, 0.0, 0.076), (0.65, 0.045, 0.0, 0.058), (0.85, 0.044, 0.0, 0.045), (1.0, 0.034, 0.002, 0.036),
        (1.07, 0.018, 0.006, 0.027), (1.09, 0.004, 0.012, 0.018),
    ],
    dtype=np.float32,
)  # fmt: skip


@dataclass(frozen=True)
class Clothes:
    """Colours (blue, green, red) and cut. `sleeve` and `leg`: how far cloth reaches along the whole limb, 0–1."""

    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    shoes: Colour
    sleeve: float = 0.3
    leg: float = 1.0
    hair_length: float = 0.0
    girth: float = 1.0


def body_surface(points: NDArray[np.floating], clothes: Clothes) -> tuple[Floats, Floats, Floats]:
    """Points (28, 3) → quadrilaterals (Q, 4, 3) in the same frame, colours (Q, 3), 0–255, and bias (Q,).

    Bias: how much further away than it is (metres) a face counts when faces are sorted. The tops of the thighs
    lie within the pelvis; without it the two would mix.
    """
    p = points.astype(np.float32)
    parts = [*_limbs(p, clothes), _torso(p, clothes), _neck(p, clothes), *_head(p, clothes)]
    for side in ("left", "right"):
        parts += [_hand(p, side, clothes), _shoe(p, side, clothes)]
    quads = np.concatenate([quads for quads, _ in parts])
    bias = np.zeros(len(quads), np.float32)
    inside = _AROUND * (_CAP + _LIMB_RINGS // 6)
    per_limb = len(parts[0][0])
    for thigh in range(2):
        bias[thigh * per_limb : thigh * per_limb + inside] = 0.06
    return quads, np.concatenate([colours for _, colours in parts]), bias


Part = tuple[Floats, Floats]


def _loft(
    centres: Floats, side: Floats, front: Floats, half: Floats, ahead: Floats, behind: Floats
) -> Floats:
    """Rings (…, R, K, 3) about centres (…, R, 3); side, front broadcast to them; half widths (…, R)."""
    angle = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False, dtype=np.float32)
    across, along = np.sin(angle), np.cos(angle)
    depth = np.where(along > 0, ahead[..., None], behind[..., None]) * along
    return (
        centres[..., None, :]
        + (half[..., None] * across)[..., None] * side[..., None, :]
        + depth[..., None] * front[..., None, :]
    )


def _quads(rings: Floats) -> Floats:
    """Rings (R, K, 3) along an axis → (R-1, K, 4, 3), wound so that normals point outwards."""
    turned = np.roll(rings, -1, axis=1)
    quads = np.stack([rings[:-1], rings[1:], turned[1:], turned[:-1]], axis=2)
    middle = quads[len(quads) // 2]
    normals = np.cross(middle[:, 2] - middle[:, 0], middle[:, 3] - middle[:, 1])
    outwards = middle.mean(axis=1) - middle.mean(axis=(0, 1))
    return quads if np.sum(normals * outwards) > 0 else quads[:, :, ::-1]


def _painted(rings: Floats, colours: NDArray[np.generic] | Colour) -> Part:
    """`colours` broadcasts to (R-1, K, 3)."""
    quads = _quads(rings)
    painted = np.broadcast_to(np.asarray(colours, dtype=np.float32), (*quads.shape[:2], 3))
    return quads.reshape(-1, 4, 3), painted.reshape(-1, 3)


@cache
def _spline_matrix(rows: int, times: int) -> Floats:
    """Matrix that puts a cubic spline through `rows` values and reads it at `times` as many steps."""
    places = np.linspace(0, rows - 1, (rows - 1) * times + 1)
    return CubicSpline(np.arange(rows), np.eye(rows))(places).astype(np.float32)


def _unit(v: Floats) -> Floats:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), np.float32(1e-6))


def _limbs(p: Floats, clothes: Clothes) -> list[Part]:
    start = p[[_P[a] for a, _, _ in _LIMBS]]
    end = p[[_P[b] for _, b, _ in _LIMBS]]
    length = np.maximum(np.linalg.norm(end - start, axis=-1), 1e-4)
    axis = (end - start) / length[:, None]
    # Any direction across will do: limbs are round.
    helper = np.where(
        np.abs(axis[:, :1]) < 0.7, np.eye(3, dtype=np.float32)[0], np.eye(3, dtype=np.float32)[2]
    )
    side = _unit(np.cross(axis, helper))
    front = np.cross(axis, side)
    s = np.linspace(0, 1, _LIMB_RINGS, dtype=np.float32)
    knots = np.linspace(0, 1, len(_LIMBS[0][2]))
    radius = np.stack([np.interp(s, knots, r) for _, _, r in _LIMBS]).astype(np.float32) * clothes.girth
    cap = np.linspace(0, np.pi / 2, _CAP, endpoint=False, dtype=np.float32)
    low, high = radius[:, :1], radius[:, -1:]
    place = np.concatenate(
        [-low * np.cos(cap), s * length[:, None], length[:, None] + high * np.sin(cap + cap[1])], axis=1
    )
    radius = np.concatenate([low * np.sin(cap), radius, high * np.cos(cap + cap[1])], axis=1)
    centres = start[:, None] + place[..., None] * axis[:, None]
    rings = _loft(centres, side[:, None], front[:, None], radius, radius, radius)
    parts = []
    middle = (place[:, 1:] + place[:, :-1]) / 2 / length[:, None]
    for k, (name, _, _) in enumerate(_LIMBS):
        leg = "Hip" in name or "Knee" in name
        lower = "Knee" in name or "Elbow" in name
        cloth, reach = (clothes.trousers, clothes.leg) if leg else (clothes.shirt, clothes.sleeve)
        covered = (np.clip(middle[k], 0, 1) + lower) / 2 < reach
        parts.append(_painted(rings[k], np.where(covered[:, None, None], cloth, clothes.skin)))
    return parts


def _torso(p: Floats, clothes: Clothes) -> Part:
    hip, spine = p[_P["Hip"]], p[_P["Spine"]]
    shoulders = (p[_P["LShoulder"]] + p[_P["RShoulder"]]) / 2
    hips_across, shoulders_across = p[_P["LHip"]] - p[_P["RHip"]], p[_P["LShoulder"]] - p[_P["RShoulder"]]
    up = _unit(shoulders - hip)
    pelvis, chest = np.linalg.norm(hips_across) / 2, np.linalg.norm(shoulders_across) / 2
    down, top = _unit(spine - hip), _unit(shoulders - spine)
    # centre; half width; reach to the front and back; share of the shoulders' direction
    rows = (
        (hip - 0.105 * down, 0.030, 0.045, 0.045, 0.0),
        (hip - 0.095 * down, pelvis + 0.035, 0.080, 0.085, 0.0),
        (hip - 0.050 * down, pelvis + 0.074, 0.100, 0.112, 0.0),
        (hip, pelvis + 0.078, 0.104, 0.115, 0.1),
        (hip * 0.4 + spine * 0.6, pelvis + 0.066, 0.104, 0.098, 0.25),
        (spine, pelvis + 0.056, 0.104, 0.090, 0.4),
        (spine * 0.75 + shoulders * 0.25, pelvis * 0.5 + chest * 0.5 + 0.018, 0.108, 0.096, 0.6),
        (spine * 0.45 + shoulders * 0.55, chest - 0.010, 0.118, 0.108, 0.85),
        (spine * 0.2 + shoulders * 0.8, chest - 0.008, 0.116, 0.112, 1.0),
        (shoulders, chest - 0.002, 0.092, 0.100, 1.0),
        (shoulders + 0.032 * top, chest - 0.010, 0.064, 0.078, 1.0),
        (shoulders + 0.050 * top, chest * 0.58, 0.056, 0.070, 1.0),
        (shoulders + 0.060 * top, 0.060, 0.050, 0.060, 1.0),
        (shoulders + 0.064 * top, 0.045, 0.040, 0.050, 1.0),
    )
    finer = _spline_matrix(len(rows), 3)
    centres = finer @ np.stack([row[0] for row in rows])
    widths = np.maximum(finer @ np.array([row[1:] for row in rows], dtype=np.float32), 0)
    share = widths[:, 3:]
    side = _unit(_unit(hips_across) * (1 - share) + _unit(shoulders_across) * share)
    side = _unit(side - (side @ up)[:, None] * up)
    front = np.cross(side, up)
    girth = np.float32(0.5 + 0.5 * clothes.girth)
    rings = _loft(centres, side, front, widths[:, 0], widths[:, 1] * girth, widths[:, 2] * girth)
    is_shirt = np.arange(len(centres) - 1) >= 3 * 3
    return _painted(rings, np.where(is_shirt[:, None, None], clothes.shirt, clothes.trousers))


def _neck(p: Floats, clothes: Clothes) -> Part:
    base = (p[_P["LShoulder"]] + p[_P["RShoulder"]]) / 2
    ears = (p[_P["left_ear"]] + p[_P["right_ear"]]) / 2
    side = _unit(p[_P["LShoulder"]] - p[_P["RShoulder"]])
    up = _unit(ears - base)
    side = _unit(side - up * (side @ up))
    s = np.linspace(0.1, 0.95, 6, dtype=np.float32)
    radius = np.full(6, 0.054, np.float32) * np.float32(0.5 + 0.5 * clothes.girth)
    return _painted(
        _loft(
            base + s[:, None] * (ears - base), side[None], np.cross(side, up)[None], radius, radius, radius
        ),
        clothes.skin,
    )


def _head(p: Floats, clothes: Clothes) -> list[Part]:
    left, right = p[_P["left_ear"]], p[_P["right_ear"]]
    ears = (left + right) / 2
    scale = np.linalg.norm(left - right) / 0.15
    side = _unit(left - right)
    front = p[_P["nose"]] - ears
    front = _unit(front - side * (front @ side))
    up = np.cross(front, side)

    def place(x: float, y: float, z: float) -> Floats:
        return ears + scale * (x * side + y * up + z * front)

    height, half, ahead, behind = (scale * _HEAD).T
    rings = _loft(ears + height[:, None] * up, side[None], front[None], half, ahead, behind)
    middle = (_HEAD[1:, 0] + _HEAD[:-1, 0])[:, None] / 2
    facing = np.cos((np.arange(_AROUND) + 0.5) * 2 * np.pi / _AROUND)[None]
    hair = (middle > 0.075 - 0.02 * facing) | ((facing < 0.15) & (middle > -0.02 - 0.1 * clothes.hair_length))
    parts = [_painted(rings, np.where(hair[..., None], clothes.hair, clothes.skin))]

    ball = np.linspace(-0.98, 0.98, 7, dtype=np.float32)

    def blob(x: float, y: float, z: float, size: tuple[float, float, float], colour: Colour) -> Part:
        round_ = (np.sqrt(1 - ball**2) * scale).astype(np.float32)
        centres = (place(x, y, z) + scale * size[1] * ball[:, None] * up).astype(np.float32)
        return _painted(
            _loft(centres, side[None], front[None], size[0] * round_, size[2] * round_, size[2] * round_),
            colour,
        )

    dark = tuple(int(c * 0.72) for c in clothes.skin)
    lips = (int(clothes.skin[0] * 0.7), int(clothes.skin[1] * 0.62), min(255, int(clothes.skin[2] * 0.92)))
    brow = tuple(int(0.8 * h + 0.2 * s) for h, s in zip(clothes.hair, clothes.skin, strict=True))
    parts += [
        blob(0, 0.000, 0.098, (0.015, 0.016, 0.022), clothes.skin),
        blob(0, 0.018, 0.092, (0.009, 0.024, 0.016), clothes.skin),
        blob(0, -0.045, 0.086, (0.026, 0.009, 0.012), lips),
    ]  # fmt: skip
    for sign in (1, -1):
        parts += [
            blob(sign * 0.032, 0.025, 0.081, (0.015, 0.0075, 0.009), (225, 232, 235)),
            blob(sign * 0.032, 0.025, 0.086, (0.0065, 0.0065, 0.007), (35, 40, 50)),
            blob(sign * 0.033, 0.043, 0.083, (0.018, 0.004, 0.009), (brow[0], brow[1], brow[2])),
            blob(sign * 0.074, 0.0, -0.004, (0.010, 0.030, 0.018), (dark[0], dark[1], dark[2])),
        ]
    return parts


def _hand(p: Floats, side_name: str, clothes: Clothes) -> Part:
    letter = side_name[0].upper()
    elbow, wrist = p[_P[f"{letter}Elbow"]], p[_P[f"{letter}Wrist"]]
    axis = _unit(wrist - elbow)
    # The corpus keeps no fingers: the palm faces the body, as relaxed hands do.
    across = p[_P["LHip"]] - p[_P["RHip"]]
    thin = _unit(across - axis * (across @ axis))
    wide = np.cross(-axis, thin)
    place = np.array([-0.01, 0.02, 0.05, 0.08, 0.11, 0.145, 0.165, 0.172], np.float32)
    half = np.array([0.026, 0.030, 0.038, 0.040, 0.036, 0.026, 0.014, 0.003], np.float32)
    flat = np.array([0.024, 0.020, 0.018, 0.017, 0.015, 0.011, 0.007, 0.002], np.float32)
    return _painted(
        _loft(wrist + place[:, None] * axis, thin[None], -wide[None], flat, half, half), clothes.skin
    )


def _shoe(p: Floats, side_name: str, clothes: Clothes) -> Part:
    heel, toe = p[_P[f"{side_name}_heel"]], p[_P[f"{side_name}_foot_index"]]
    ankle = p[_P["LAnkle" if side_name == "left" else "RAnkle"]]
    forward = _unit(toe - heel)
    up = ankle - heel
    up = _unit(up - forward * (up @ forward))
    side = np.cross(up, forward)
    place, half, low, high = _SHOE.T
    # Heel and toe lie 2 cm over the sole.
    centres = heel + place[:, None] * (toe - heel) + ((low + high) / 2 - 0.02)[:, None] * up
    thick = (high - low) / 2
    return _painted(_loft(centres, side[None], up[None], half, thick, thick), clothes.shoes)
