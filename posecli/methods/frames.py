"""What the methods have in common that lift every frame by itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from posecli.methods.common import both_ways, check_windows, flip_averaged
from posecli.skeleton import H36M16, H36M17, SKELETONS, Skeleton

NECK_SHARE = 0.66
"""Where on the way from thorax to head the neck lies: median over the training side of the CMU corpus. Put there,
the neck is 34 mm off on average (3680 poses of the same)."""

_NECK = H36M17.index("Neck/Nose")


@dataclass(frozen=True)
class NetworkJoints:
    """The joints that a network works on, and how those of the poses it lifts are made of them.

    A network of Human3.6M-16 lifts Human3.6M-17: the neck is left out of its input, and in its answer put on the
    line from thorax to head. Every other skeleton is lifted as it is.
    """

    network: Skeleton

    @classmethod
    def named(cls, name: str) -> NetworkJoints:
        """name: a key of `SKELETONS`."""
        return cls(SKELETONS[name])

    @property
    def lifted(self) -> Skeleton:
        return H36M17 if self.network == H36M16 else self.network

    def drop(self, x: Tensor) -> Tensor:
        """Lifted joints (..., J, C) → the network's."""
        if self.network == self.lifted:
            return x
        return torch.cat([x[..., :_NECK, :], x[..., _NECK + 1 :, :]], dim=-2)

    def restore(self, pose: Tensor) -> Tensor:
        """The network's joints (..., J, 3) → the lifted ones, moved so that the root is at zero; same unit."""
        pose = pose - pose[..., self.network.root, None, :]
        if self.network == self.lifted:
            return pose
        thorax, head = (pose[..., H36M16.index(name), None, :] for name in ("Thorax", "Head"))
        neck = thorax + NECK_SHARE * (head - thorax)
        return torch.cat([pose[..., :_NECK, :], neck, pose[..., _NECK:, :]], dim=-2)


class FrameLifter(nn.Module):
    """A network that answers with one pose per frame: no randomness, all hypotheses are the same.

    net: (..., J, 2) normalised → (..., J, 3) metres in camera axes, on the joints of `skeleton`.
    flip: average with the mirrored pass when lifting.
    """

    window = 1

    def __init__(self, net: nn.Module, skeleton: str, *, flip: bool) -> None:
        super().__init__()
        self.net, self.flip = net, flip
        self.joints = NetworkJoints.named(skeleton)

    @property
    def skeleton(self) -> Skeleton:
        return self.joints.lifted

    def predict(self, x2d: Tensor) -> Tensor:
        """x2d (B, ..., J, 2) on the network's joints → pose (B, ..., J, 3), metres, the root not zeroed."""
        if not self.flip:
            return self.net(x2d)
        mirror = self.joints.network.mirror
        return flip_averaged(self.net(both_ways(x2d, mirror)), mirror)

    @torch.no_grad()
    def lift_windows(self, x2d: Tensor, *, hypotheses: int, steps: int, generator: torch.Generator) -> Tensor:
        """See `methods.base.Lifter`; neither `steps` nor `generator` matters."""
        check_windows(x2d, self.window, self.skeleton.num_joints)
        pose = self.joints.restore(self.predict(self.joints.drop(x2d)))
        return pose[:, None].expand(-1, hypotheses, -1, -1, -1)
