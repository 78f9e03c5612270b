"""X3D in PyTorch: the network of PyTorchVideo's `create_x3d` under its names, for timing and comparison."""

import torch
from torch import nn
from torch.nn import functional as F
from torch_options import X3DOptions


class Stem(nn.Module):
    """A convolution of frames, one over time of each channel, BatchNorm and ReLU; the names of the two are swapped."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv = nn.Module()
        self.conv.conv_t = nn.Conv3d(3, features, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False)
        self.conv.conv_xy = nn.Conv3d(features, features, (5, 1, 1), 1, (2, 0, 0), groups=features, bias=False)
        self.norm = nn.BatchNorm3d(features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies the stem to clips `[b, 3, t, h, w]`."""
        return F.relu(self.norm(self.conv.conv_xy(self.conv.conv_t(x))))


class SqueezeExcitation(nn.Module):
    """Gates the channels of a clip."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv3d(channels, features, 1), nn.ReLU(), nn.Conv3d(features, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiplies each channel by its gate."""
        return x * self.block(x.mean((2, 3, 4), keepdim=True))


class Block(nn.Module):
    """A bottleneck that is wide inside."""

    def __init__(self, inputs: int, inner: int, features: int, stride: int, excitation: int) -> None:
        super().__init__()
        steps = (1, stride, stride)
        if stride > 1 or inputs != features:
            self.branch1_conv = nn.Conv3d(inputs, features, 1, steps, bias=False)
        if inputs != features:
            self.branch1_norm = nn.BatchNorm3d(features)
        self.branch2 = nn.Module()
        self.branch2.conv_a = nn.Conv3d(inputs, inner, 1, bias=False)
        self.branch2.norm_a = nn.BatchNorm3d(inner)
        self.branch2.conv_b = nn.Conv3d(inner, inner, 3, steps, 1, groups=inner, bias=False)
        gate = SqueezeExcitation(inner, excitation) if excitation else nn.Identity()
        self.branch2.norm_b = nn.Sequential(nn.BatchNorm3d(inner), gate)
        self.branch2.conv_c = nn.Conv3d(inner, features, 1, bias=False)
        self.branch2.norm_c = nn.BatchNorm3d(features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies the block."""
        branch = self.branch2
        y = F.relu(branch.norm_a(branch.conv_a(x)))
        y = F.silu(branch.norm_b(branch.conv_b(y)))
        y = branch.norm_c(branch.conv_c(y))
        if hasattr(self, "branch1_conv"):
            x = self.branch1_conv(x)
        if hasattr(self, "branch1_norm"):
            x = self.branch1_norm(x)
        return F.relu(x + y)


class Stage(nn.Module):
    """Blocks of one resolution; every second one has squeeze and excitation."""

    def __init__(self, inputs: int, inner: int, features: int, depth: int) -> None:
        super().__init__()
        excitation = max(8, (inner // 16 + 4) // 8 * 8)
        excitation += 8 if excitation < 0.9 * inner / 16 else 0
        self.res_blocks = nn.Sequential(
            *(
                Block(features if index else inputs, inner, features, 1 if index else 2, 0 if index % 2 else excitation)
                for index in range(depth)
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies the blocks."""
        return self.res_blocks(x)


class Head(nn.Module):
    """A perceptron on the average features."""

    def __init__(self, inputs: int, inner: int, features: int, num_classes: int) -> None:
        super().__init__()
        self.pool = nn.Module()
        self.pool.pre_conv = nn.Conv3d(inputs, inner, 1, bias=False)
        self.pool.pre_norm = nn.BatchNorm3d(inner)
        self.pool.post_conv = nn.Conv3d(inner, features, 1, bias=False)
        self.proj = nn.Linear(features, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Classifies features."""
        x = F.relu(self.pool.pre_norm(self.pool.pre_conv(x)))
        x = F.relu(self.pool.post_conv(x.mean((2, 3, 4), keepdim=True)))
        return self.proj(x.flatten(1))


class X3D(nn.Module):
    """The network. Its state dict has PyTorchVideo's names."""

    stages = ("stem", "stage1", "stage2", "stage3", "stage4")
    """What `run_stage` takes, in the order of the forward pass."""

    def __init__(self, options: X3DOptions) -> None:
        super().__init__()
        inner = [int(options.inner_ratio * width) for width in options.widths]
        inputs = (options.widths[0], *options.widths)
        self.blocks = nn.ModuleList(
            [
                Stem(options.widths[0]),
                *(Stage(*sizes) for sizes in zip(inputs, inner, options.widths, options.depths, strict=False)),
                Head(options.widths[-1], inner[-1], options.head_features, options.num_classes),
            ]
        )

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Classifies clips `[b, t, h, w, 3]`: logits `[b, num_classes]`."""
        x = clips.permute(0, 4, 1, 2, 3)
        for block in self.blocks:
            x = block(x)
        return x

    def run_stage(self, stage: str, x: torch.Tensor) -> torch.Tensor:
        """Applies the stem to clips, or all blocks of a stage to features `[b, t, h, w, c]`."""
        return self.blocks[self.stages.index(stage)](x.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)
