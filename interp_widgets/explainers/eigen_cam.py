"""Maps from the first principal component of a layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from interp_widgets.explainers.base import CAM, limits

__all__ = ["EigenCAM", "EigenGradCAM"]


def first_component(maps: torch.Tensor, *, centred: bool) -> torch.Tensor:
    """The positions' projection on the first right singular vector of ``maps`` ``(C, H', W')`` as ``(H', W')``.

    A singular vector has no sign of its own; the one that grows where the layer is active (the positions' norm) is taken.
    """
    positions = maps.flatten(1).T  # (H'W', C)
    seen = positions - positions.mean(dim=0) if centred else positions
    _, _, directions = torch.linalg.svd(seen, full_matrices=False)
    projection = seen @ directions[0]
    sign = 1 if float(projection @ positions.norm(dim=1)) >= 0 else -1
    return (sign * projection).reshape(maps.shape[1:])


@dataclass(frozen=True)
class EigenCAM(CAM):
    """The first principal component of the activation: what the layer shows most, whatever the class.

    Muhammad and Yeasin 2020, arXiv:2008.00299, eq. 3; with ``centred`` the channels' means are taken off first, as
    pytorch-grad-cam does. The sign of the component agrees with the positions' norm; the positive part is kept.
    ``values`` is ``(H', W')``, not negative; it does not depend on the target.
    """

    title: ClassVar[str] = "Eigen-CAM"
    summary: ClassVar[str] = "first principal component of the layer, for no class in particular"

    centred: bool = field(default=False, metadata=limits(help="subtract each channel's mean first"))

    def attribute(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - the class is not used
        return first_component(activation, centred=self.centred).relu()


@dataclass(frozen=True)
class EigenGradCAM(CAM):
    """The first principal component of gradient times activation: Eigen-CAM that depends on the class.

    pytorch-grad-cam's variant of arXiv:2008.00299 (it has no paper of its own); sign and ``centred`` as in ``EigenCAM``.
    ``values`` is ``(H', W')``, not negative.
    """

    title: ClassVar[str] = "EigenGrad-CAM"
    summary: ClassVar[str] = "first principal component of gradient times activation"

    centred: bool = field(default=False, metadata=limits(help="subtract each channel's mean first"))

    def attribute(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        return first_component(gradient * activation, centred=self.centred).relu()
