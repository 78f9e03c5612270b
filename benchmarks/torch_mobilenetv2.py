"""MobileNetV2 on every frame in PyTorch, with TSM or without: the same network under the names of the TSN class of
mit-han-lab/temporal-shift-module, for timing and comparison.
"""

import math

import torch
from torch import nn
from torch_options import MobileNetV2Options

_STAGES = ((1, 16, 1), (6, 24, 2), (6, 32, 2), (6, 64, 2), (6, 96, 1), (6, 160, 2), (6, 320, 1))
"""Of each stage the expansion, the output channels and the stride of the first block."""


class TemporalShift(nn.Module):
    """A convolution of frames whose input takes an eighth of the channels from either neighbouring frame."""

    def __init__(self, net: nn.Module, frames: int) -> None:
        super().__init__()
        self.net = net
        self.frames = frames

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shifts and convolves frames `[b * t, c, h, w]`."""
        clips = x.unflatten(0, (-1, self.frames))
        part = x.shape[1] // 8
        shifted = clips.clone()
        shifted[:, :-1, :part], shifted[:, -1, :part] = clips[:, 1:, :part], 0
        shifted[:, 1:, part : 2 * part], shifted[:, 0, part : 2 * part] = clips[:, :-1, part : 2 * part], 0
        return self.net(shifted.flatten(0, 1))


class InvertedResidual(nn.Module):
    """An expansion, a depthwise convolution and a linear projection."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, shift_over: int) -> None:
        super().__init__()
        self.has_shortcut = stride == 1 and inputs == outputs
        hidden = inputs * expansion
        first = nn.Conv2d(inputs, hidden, 1, bias=False)
        shifts = shift_over and self.has_shortcut
        expand = (TemporalShift(first, shift_over) if shifts else first, nn.BatchNorm2d(hidden), nn.ReLU6(inplace=True))
        self.conv = nn.Sequential(
            *(expand if expansion > 1 else ()),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies the block."""
        return x + self.conv(x) if self.has_shortcut else self.conv(x)


class MobileNetV2(nn.Module):
    """The network. Its state dict has the names of the TSN class."""

    stages = ("stem", *(f"stage{number}" for number in range(1, 8)), "last")
    """What `run_stage` takes, in the order of the forward pass."""

    def __init__(self, options: MobileNetV2Options) -> None:
        super().__init__()
        features = [_unit(3, 32, 3, 2)]
        inputs = 32
        self.ends = [1]
        for (expansion, channels, first_stride), depth in zip(_STAGES, options.depths, strict=True):
            outputs = math.ceil(channels * options.width / 8) * 8 if expansion > 1 else channels
            for stride in (first_stride, *(1,) * (depth - 1)):
                shift_over = options.frames if options.temporal_shift and expansion > 1 else 0
                features.append(InvertedResidual(inputs, outputs, stride, expansion, shift_over))
                inputs = outputs
            self.ends.append(len(features))
        last = options.last_width
        last = math.ceil(last * options.width / 8) * 8 if options.width > 1 else last
        self.ends.append(len(features) + 1)
        self.base_model = nn.Module()
        self.base_model.features = nn.Sequential(*features, _unit(inputs, last, 1, 1))
        self.new_fc = nn.Linear(last, options.num_classes)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Classifies clips `[b, t, h, w, 3]`: logits `[b, num_classes]`."""
        x = clips
        for stage in self.stages:
            x = self.run_stage(stage, x)
        return self.new_fc(x.mean((2, 3)).mean(1))

    def run_stage(self, stage: str, x: torch.Tensor) -> torch.Tensor:
        """Applies the blocks of a stage to clips `[b, t, h, w, c]`."""
        number = self.stages.index(stage)
        frames = x.flatten(0, 1).permute(0, 3, 1, 2)
        for block in self.base_model.features[self.ends[number - 1] if number else 0 : self.ends[number]]:
            frames = block(frames)
        return frames.permute(0, 2, 3, 1).unflatten(0, x.shape[:2])


def _unit(inputs: int, outputs: int, side: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))
