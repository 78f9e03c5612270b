"""R3D, MC3 and R(2+1)D in PyTorch: the networks of torchvision under its names, for timing and comparison."""

import torch
from torch import nn
from torch.nn import functional as F
from torch_options import VideoResNetOptions


def convolution(
    kind: str, channels: int, features: int, middle: int, stride: int = 1, temporal_stride: int = 1
) -> nn.Module:
    """Makes a convolution of a block: "3d", "frames", or "2plus1d" with a normalisation and a ReLU in it."""
    if kind == "3d":
        return nn.Conv3d(channels, features, 3, (temporal_stride, stride, stride), 1, bias=False)
    if kind == "frames":
        return nn.Conv3d(channels, features, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)
    return nn.Sequential(
        nn.Conv3d(channels, middle, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        nn.Conv3d(middle, features, (3, 1, 1), (temporal_stride, 1, 1), (1, 0, 0), bias=False),
    )


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, kind: str, channels: int, features: int, stride: int, temporal_stride: int) -> None:
        super().__init__()
        middle = 27 * channels * features // (9 * channels + 3 * features)
        first = convolution(kind, channels, features, middle, stride, temporal_stride)
        self.conv1 = nn.Sequential(first, nn.BatchNorm3d(features), nn.ReLU(inplace=True))
        self.conv2 = nn.Sequential(convolution(kind, features, features, middle), nn.BatchNorm3d(features))
        self.downsample = None
        if stride > 1 or channels != features:
            strides = (temporal_stride, stride, stride)
            shortcut = nn.Conv3d(channels, features, 1, strides, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm3d(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies the block."""
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.conv2(self.conv1(x)) + shortcut)


class VideoResNet(nn.Module):
    """The network. Its state dict has torchvision's names."""

    stages = ("stage1", "stage2", "stage3", "stage4")
    """What `run_stage` takes, in the order of the forward pass."""

    def __init__(self, options: VideoResNetOptions) -> None:
        super().__init__()
        if options.max_pool:
            raise ValueError("max_pool is True, but the networks of torchvision have no pooling: choose one of them")
        width = options.widths[0]
        self.stem = _stem(width, factorized=options.convolutions == "2plus1d")
        kinds = ["3d", *3 * ["frames"]] if options.convolutions == "mixed" else 4 * [options.convolutions]
        channels = width
        for number, (kind, features, depth) in enumerate(zip(kinds, options.widths, options.depths, strict=True), 1):
            stage = nn.Sequential()
            for index in range(depth):
                halves = number > 1 and index == 0
                stride, temporal_stride = (2, 1 + options.temporal_stride) if halves else (1, 1)
                stage.append(BasicBlock(kind, channels, features, stride, temporal_stride))
                channels = features
            setattr(self, f"layer{number}", stage)
        self.fc = nn.Linear(channels, options.num_classes)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Classifies clips `[b, t, h, w, 3]`: logits `[b, num_classes]`."""
        x = clips
        for stage in self.stages:
            x = self.run_stage(stage, x)
        return self.fc(x.mean(dim=(1, 2, 3)))

    def run_stage(self, stage: str, x: torch.Tensor) -> torch.Tensor:
        """Applies a stage, the first one with the stem, to features, or clips, `[b, t, h, w, c]`."""
        x = x.permute(0, 4, 1, 2, 3)
        x = self.stem(x) if stage == "stage1" else x
        return getattr(self, stage.replace("stage", "layer"))(x).permute(0, 2, 3, 4, 1)


def _stem(width: int, *, factorized: bool) -> nn.Sequential:
    if not factorized:
        first = nn.Conv3d(3, width, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False)
        return nn.Sequential(first, nn.BatchNorm3d(width), nn.ReLU(inplace=True))
    middle = -(-45 * width // 64)
    return nn.Sequential(
        nn.Conv3d(3, middle, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        nn.Conv3d(middle, width, (3, 1, 1), 1, (1, 0, 0), bias=False),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )
