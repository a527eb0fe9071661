"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation, and with ReLU6 in place of swish.

Tan and Le 2019, arXiv:1905.11946, table 1; the Lite variant is Google's
(``models/official/efficientnet/lite`` of ``tensorflow/tpu``). Modules are named as in ``SmallResNet``.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

__all__ = ["EfficientNetLite0", "InvertedResidual"]


def convolution(
    inputs: int, outputs: int, kernel: int = 1, *, stride: int = 1, groups: int = 1, relu: bool = True
) -> nn.Sequential:
    """A convolution with batch norm and, if wanted, ReLU6; padded as TensorFlow's "SAME" pads even sizes."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    padding = kernel // 2
    if stride > 1:  # "SAME" pads one pixel more at the right and at the bottom, which Conv2d cannot
        before, after = (kernel - 2) // 2, (kernel - 1) // 2
        parts["pad"] = nn.ZeroPad2d((before, after, before, after))
        padding = 0
    parts["conv"] = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    parts["bn"] = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
    if relu:
        parts["relu"] = nn.ReLU6(inplace=True)
    return nn.Sequential(parts)


class InvertedResidual(nn.Module):
    """Widen, filter each channel by itself, narrow; the input is added where it has the output's shape.

    Sandler et al. 2018, arXiv:1801.04381, fig. 3 and 4.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = convolution(inputs, hidden) if expansion > 1 else nn.Identity()
        self.depthwise = convolution(hidden, hidden, kernel, stride=stride, groups=hidden)
        self.project = convolution(hidden, outputs, relu=False)
        self.adds_input = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102 - the class says it
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return out + x if self.adds_input else out


def stage(inputs: int, outputs: int, *, blocks: int, kernel: int, stride: int = 1, expansion: int = 6) -> nn.Sequential:
    """A row of the paper's table 1: the first block changes size and width, the others keep them."""
    first = InvertedResidual(inputs, outputs, kernel, stride, expansion)
    others = [InvertedResidual(outputs, outputs, kernel, 1, expansion) for _ in range(blocks - 1)]
    return nn.Sequential(first, *others)


class EfficientNetLite0(nn.Module):
    """Logits ``(N, 1000)`` from ``(N, 3, 224, 224)``; other sides are multiples of 32, for the padding's sake."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = convolution(3, 32, 3, stride=2)
        self.layer1 = stage(32, 16, blocks=1, kernel=3, expansion=1)
        self.layer2 = stage(16, 24, blocks=2, kernel=3, stride=2)
        self.layer3 = stage(24, 40, blocks=2, kernel=5, stride=2)
        self.layer4 = stage(40, 80, blocks=3, kernel=3, stride=2)
        self.layer5 = stage(80, 112, blocks=3, kernel=5)
        self.layer6 = stage(112, 192, blocks=4, kernel=5, stride=2)
        self.layer7 = stage(192, 320, blocks=1, kernel=3)
        self.head = convolution(320, 1280)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(1280, 1000)

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102 - the class says it
        x = self.stem(images)  # (N, 32, 112, 112)
        x = self.layer1(x)
        x = self.layer2(x)  # (N, 24, 56, 56)
        x = self.layer3(x)  # (N, 40, 28, 28)
        x = self.layer4(x)  # (N, 80, 14, 14)
        x = self.layer5(x)
        x = self.layer6(x)  # (N, 192, 7, 7)
        x = self.layer7(x)
        x = self.head(x)  # (N, 1280, 7, 7)
        logits: Tensor = self.fc(self.dropout(self.pool(x).flatten(1)))
        return logits
