"""The architectures of the shipped models: plain, small, and named so that a layer picker reads well."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["DigitsCNN", "SmallResNet", "SmallViT"]


class DigitsCNN(nn.Module):
    """Logits ``(N, 10)`` from ``(N, 1, 32, 32)``: three convolutions, average pooling, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.conv2 = nn.Sequential(nn.Conv2d(16, 32, 3, 2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.conv3 = nn.Sequential(nn.Conv2d(32, 64, 3, 2, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(256, 10)

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102 - the class says it
        x = self.conv1(images)  # (N, 16, 32, 32)
        x = self.conv2(x)  # (N, 32, 16, 16)
        x = self.conv3(x)  # (N, 64, 8, 8)
        logits: Tensor = self.fc(self.pool(x).flatten(1))
        return logits


class ResidualBlock(nn.Module):
    """He et al. 2015, arXiv:1512.03385, fig. 2: two 3x3 convolutions around an identity (or 1x1) shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        residual += self.shortcut(x)
        out: Tensor = self.relu(residual)
        return out


class SmallResNet(nn.Module):
    """Logits ``(N, classes)`` from ``(N, 3, 96, 96)``: a ResNet of three stages, 48x48, 24x24 and 12x12."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
        self.layer1 = nn.Sequential(ResidualBlock(16, 16), ResidualBlock(16, 16))
        self.layer2 = nn.Sequential(ResidualBlock(16, 32, 2), ResidualBlock(32, 32))
        self.layer3 = nn.Sequential(ResidualBlock(32, 64, 2), ResidualBlock(64, 64))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102 - the class says it
        x = self.stem(images)  # (N, 16, 48, 48)
        x = self.layer1(x)
        x = self.layer2(x)  # (N, 32, 24, 24)
        x = self.layer3(x)  # (N, 64, 12, 12)
        logits: Tensor = self.fc(self.pool(x).flatten(1))
        return logits


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, arXiv:1706.03762) over tokens ``(N, T, dim)``."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        count, length, dim = tokens.shape
        qkv = self.qkv(tokens).reshape(count, length, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (N, heads, T, dim / heads)
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(count, length, dim))
        return out


class Mlp(nn.Module):
    """Two linear layers with a GELU between, applied to every token alone."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.act(self.fc1(tokens)))
        return out


class Block(nn.Module):
    """A pre-norm transformer block: attention, then an MLP, each added to what came in."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        out: Tensor = tokens + self.mlp(self.norm2(tokens))
        return out


def _sines(side: int, dim: int) -> Tensor:
    """``(1, 1 + side * side, dim)``: sines and cosines of the row and of the column, zeros for the class token.

    Learned from here on; started like this, neighbours are alike from the first step (cf. arXiv:2205.01580).
    """
    angles = torch.arange(side)[:, None] * 100 ** (-torch.arange(dim // 4) / (dim // 4))  # (side, dim / 4)
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, dim / 2)
    rows, columns = waves[:, None].expand(-1, side, -1), waves[None].expand(side, -1, -1)
    grid = torch.cat([rows, columns], dim=2).reshape(1, side * side, dim)
    return torch.cat([torch.zeros(1, 1, dim), grid], dim=1)


class SmallViT(nn.Module):
    """Logits ``(N, classes)`` from ``(N, 3, 96, 96)``: a ViT (Dosovitskiy et al. 2020, arXiv:2010.11929).

    Tokens are ``(N, 145, 96)``: the class token, then 12 x 12 patches row by row, one per 8x8 pixels. Deviation: a
    patch sees 16x16 pixels, so neighbours overlap; it takes far less data to learn shapes.
    """

    def __init__(self, classes: int, *, dim: int = 96, depth: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, dim, 16, 8, padding=4)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(_sines(12, dim))
        self.blocks = nn.ModuleList(Block(dim, heads, 2 * dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def tokens(self, images: Tensor, kept: Tensor | None = None) -> Tensor:
        """The normed tokens ``(N, 145, dim)`` after the last block, class token first.

        With ``kept`` ``(N, K)``, int64 in 0..143, from these patches only: ``(N, 1 + K, dim)``. It makes training
        cheaper (Liu et al. 2022, arXiv:2208.07220).
        """
        patches = self.patch_embed(images).flatten(2).transpose(1, 2) + self.pos_embed[:, 1:]  # (N, 144, dim)
        if kept is not None:
            patches = patches.gather(1, kept[..., None].expand(-1, -1, patches.shape[2]))
        cls_token = (self.cls_token + self.pos_embed[:, :1]).expand(len(patches), -1, -1)
        x = torch.cat([cls_token, patches], dim=1)
        for block in self.blocks:
            x = block(x)
        normed: Tensor = self.norm(x)
        return normed

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102 - the class says it
        logits: Tensor = self.head(self.tokens(images)[:, 0])
        return logits
