"""Acclaim skeletons (ASF) and motion (AMC), as the CMU Graphics Lab database publishes them.

A bone b with direction d, length l and axis C turns by M (its `dof` angles) in its own axes:
    R_b = R_parent · C · M · C⁻¹,    end_b = end_parent + R_b · d · l
(the Acclaim format as Lander, "Working with motion capture file formats", Game Developer, January 1998,
describes it). Angles about "XYZ" turn about x first. Joint limits are notes of the capture and are ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from posecli.corpus.kinematics import Array, Posed, euler_matrices, parse_numbers
from posecli.errors import InputError

INCH = 0.0254
_ROTATIONS = ("rx", "ry", "rz")
_TRANSLATIONS = ("tx", "ty", "tz")


@dataclass(frozen=True)
class Bone:
    """One bone; `offset` is from its start to its end in the rest pose, in the file's unit of length.

    `dof` names the values an AMC line gives, in order; `order` is the order in which rotations are applied.
    """

    name: str
    parent: str
    offset: tuple[float, float, float]
    axis_deg: tuple[float, float, float]
    order: str
    dof: tuple[str, ...]


@dataclass(frozen=True)
class AsfSkeleton:
    """`bones` in an order where parents come first; `bones[0]` is the root, at zero length.

    `metres`: factor from the file's lengths and translations to metres.
    """

    bones: tuple[Bone, ...]
    metres: float
    degrees: bool

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(bone.name for bone in self.bones)

    def rest(self, name: str) -> Array:
        """Vector (3,) from a bone's start to its end in the rest pose, metres. Raises KeyError where there is none."""
        return np.array({bone.name: bone for bone in self.bones}[name].offset) * self.metres

    def pose(self, values: dict[str, Array]) -> Posed:
        """Forward kinematics. `values` is what `read_amc` returns; positions are the bones' ends, metres."""
        frames = len(values["root"])
        index = {name: k for k, name in enumerate(self.names)}
        positions = np.empty((frames, len(self.bones), 3))
        rotations = np.empty((frames, len(self.bones), 3, 3))
        for k, bone in enumerate(self.bones):
            angles = values.get(bone.name, np.zeros((frames, 0)))
            if not self.degrees:
                angles = np.rad2deg(angles)
            axis = euler_matrices(np.array(bone.axis_deg)[::-1], bone.order[::-1])
            moved = [c for c in bone.order if f"r{c}" in bone.dof]
            if moved and bone.name in values:
                columns = [bone.dof.index(f"r{c}") for c in reversed(moved)]
                local = axis @ euler_matrices(angles[:, columns], "".join(reversed(moved))) @ axis.T
            else:
                local = np.broadcast_to(np.eye(3), (frames, 3, 3))
            if not bone.parent:
                rotations[:, k] = local
                positions[:, k] = bone.offset
                for c, name in enumerate(_TRANSLATIONS):
                    if name in bone.dof:
                        positions[:, k, c] += values[bone.name][:, bone.dof.index(name)]
            else:
                parent = index[bone.parent]
                rotations[:, k] = rotations[:, parent] @ local
                positions[:, k] = positions[:, parent] + rotations[:, k] @ np.array(bone.offset)
        return Posed(self.names, positions * self.metres, rotations)


def read_asf(data: bytes, label: str = "skeleton") -> AsfSkeleton:
    """Skeleton from the bytes of an .asf file; `label` names it in errors.

    Raises InputError where a part is missing or cannot be understood.
    """
    text = data.decode("latin-1")
    text = re.sub(r"#.*", "", text)
    sections = {}
    for part in re.split(r"^\s*:", text, flags=re.M)[1:]:
        key, _, body = part.partition("\n")
        words = key.split(None, 1)
        if words:
            sections[words[0].lower()] = "\n".join([*words[1:], body])
    for needed in ("units", "root", "bonedata", "hierarchy"):
        if needed not in sections:
            raise InputError(f"{label} is not a complete ASF skeleton: it has no :{needed} section")
    try:
        units = dict(re.findall(r"(mass|length|angle)\s+(\S+)", sections["units"]))
        length, angle = float(units.get("length", 1.0)), units.get("angle", "deg")
        degrees = angle.lower().startswith("deg")
        parents = _read_hierarchy(sections["hierarchy"])
        found = {"root": _read_root(sections["root"])}
        for block in re.findall(r"\bbegin\b(.*?)\bend\b", sections["bonedata"], re.S):
            bone = _read_bone(block, parents, degrees)
            found[bone.name] = bone
        if not (np.isfinite(length) and length > 0):
            raise ValueError("the unit of length must be positive")
    except (ValueError, IndexError, KeyError) as error:
        raise InputError(f"{label} is damaged: {error}") from error
    missing = [name for name in parents if name not in found]
    if missing or any(bone.parent and bone.parent not in found for bone in found.values()):
        raise InputError(f"{label} is damaged: bones in its hierarchy lack data ({', '.join(missing[:3])})")
    ordered = [found["root"]]
    for bone in ordered:  # grows while it is walked: a breadth-first order
        ordered.extend(child for child in found.values() if child.parent == bone.name)
        if len(ordered) > len(found):
            raise InputError(f"{label} is damaged: its hierarchy is not a tree")
    return AsfSkeleton(tuple(ordered), INCH / length, degrees)


def read_amc(data: bytes, skeleton: AsfSkeleton, label: str = "motion") -> dict[str, Array]:
    """Motion from the bytes of an .amc file: bone name → (T, number of its dof), in the file's units.

    A last frame that is cut short is dropped. Raises InputError where it does not fit the skeleton or is
    damaged elsewhere.
    """
    frame_lines = list(re.finditer(rb"^\d+\s*$", data, re.M))
    if not frame_lines:
        raise InputError(f"{label} holds no motion: there is no line with a frame number")
    body = data[frame_lines[0].start() :]
    second = frame_lines[1].start() - frame_lines[0].start() if len(frame_lines) > 1 else len(body)
    layout = re.findall(rb"^([A-Za-z_]\S*)", body[:second], re.M)
    names = re.findall(rb"^([A-Za-z_]\S*)", body, re.M)
    frames = len(names) // max(len(layout), 1)
    if frames == len(frame_lines) - 1 > 0:
        body = body[: frame_lines[-1].start() - frame_lines[0].start()]
        names = names[: frames * len(layout)]
    dof = {bone.name: len(bone.dof) for bone in skeleton.bones}
    words = [name.decode("latin-1") for name in layout]
    unknown = [name for name in words if name not in dof]
    if unknown:
        raise InputError(f"{label} does not belong to this skeleton: it has no bone {unknown[0]!r}")
    if "root" not in words:
        raise InputError(f"{label} is damaged: its first frame does not place the root")
    columns = [dof[name] for name in words]
    numbers = parse_numbers(re.sub(rb"^[A-Za-z_]\S*", b"", body, flags=re.M))
    if names != layout * frames or numbers.size != frames * (1 + sum(columns)):
        raise InputError(
            f"{label} is damaged or cut short: {_first_bad_frame(body, dict(zip(words, columns, strict=True)))}"
        )
    table = numbers.reshape(frames, -1)
    if not np.isfinite(table).all():
        raise InputError(f"{label} is damaged: it holds values that are not finite")
    ends = np.cumsum([1, *columns])
    return {name: table[:, a:b] for name, a, b in zip(words, ends[:-1], ends[1:], strict=True)}


def _first_bad_frame(body: bytes, layout: dict[str, int]) -> str:
    """Where a motion stops making sense, in words; only looked for once it is known to be damaged."""
    frame = b"1"
    for line in body.splitlines():
        words = line.split()
        if len(words) == 1 and words[0].isdigit():
            frame = words[0]
        elif words and (
            layout.get(words[0].decode("latin-1")) != len(words) - 1
            or parse_numbers(b" ".join(words[1:])).size == 0
        ):
            return f"frame {frame.decode()} has a bad line for {words[0][:20].decode('latin-1')!r}"
    return f"it ends within frame {frame.decode()}"


def _triple(text: str) -> tuple[float, float, float]:
    x, y, z = (float(word) for word in text.split()[:3])
    if not np.isfinite([x, y, z]).all():
        raise ValueError("a vector is not finite")
    return x, y, z


def _field(block: str, name: str) -> str:
    match = re.search(rf"^\s*{name}\s+(.*)$", block, re.M)
    return match.group(1).strip() if match else ""


def _order(text: str) -> str:
    order = text.split()[-1].lower()
    if sorted(order) != ["x", "y", "z"]:
        raise ValueError(f"axis order {order!r} is not a permutation of XYZ")
    return order


def _read_root(block: str) -> Bone:
    dof = tuple(_field(block, "order").lower().split())
    bad = set(dof) - {*_ROTATIONS, *_TRANSLATIONS}
    if bad:
        raise ValueError(f"the root has unknown channels {sorted(bad)}")
    position, orientation = _field(block, "position") or "0 0 0", _field(block, "orientation") or "0 0 0"
    order = _order(_field(block, "axis") or "XYZ")
    return Bone("root", "", _triple(position), _triple(orientation), order, dof)


def _read_bone(block: str, parents: dict[str, str], degrees: bool) -> Bone:
    name = _field(block, "name")
    if not name:
        raise ValueError("a bone has no name")
    direction, length = np.array(_triple(_field(block, "direction"))), float(_field(block, "length"))
    axis = _triple(_field(block, "axis"))
    if not degrees:
        x, y, z = (float(v) for v in np.rad2deg(axis))
        axis = (x, y, z)
    dof = tuple(_field(block, "dof").lower().split())
    bad = set(dof) - set(_ROTATIONS)
    if bad:
        raise ValueError(f"bone {name} has unsupported channels {sorted(bad)}")
    x, y, z = (float(v) for v in direction * length)
    if name not in parents:
        raise ValueError(f"bone {name} is not in the hierarchy")
    return Bone(name, parents[name], (x, y, z), axis, _order(_field(block, "axis")), dof)


def _read_hierarchy(block: str) -> dict[str, str]:
    parents: dict[str, str] = {}
    for line in block.splitlines():
        parent, *children = line.split() or [""]
        for child in children if parent not in ("begin", "end") else ():
            if child in parents or child == "root":
                raise ValueError(f"bone {child} has two parents")
            parents[child] = parent
    return parents
