"""TimeSformer and ResNet in PyTorch, with the authors' names and structure: what exported weights must fit strictly.

Evaluation mode alone. Sources: `timesformer/models/vit.py` of facebookresearch/TimeSformer (divided space-time
attention), torchvision's `resnet.py` (ResNet-18), and `ops/temporal_shift.py` and M2A of gebob19/M2A.
"""

import torch
from torch import nn
from torch.nn import functional


class Attention(nn.Module):
    """`Attention`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(*qkv)
        return self.proj(attended.transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    """`Mlp`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(functional.gelu(self.fc1(x)))


class SpaceTimeBlock(nn.Module):
    """`Block` with `attention_type="divided_space_time"`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.temporal_norm1 = (nn.LayerNorm(width, eps=1e-6) for _ in range(3))
        self.attn, self.temporal_attn = Attention(width, heads), Attention(width, heads)
        self.temporal_fc = nn.Linear(width, width)
        self.mlp = Mlp(width)

    def forward(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        batch, _, width = x.shape
        first, patches = x[:, :1], x[:, 1:].reshape(batch, -1, frames, width)
        over_time = self.temporal_attn(self.temporal_norm1(patches.flatten(0, 1))).reshape(patches.shape)
        patches = patches + self.temporal_fc(over_time)
        of_frames = torch.cat([first[:, None].expand(-1, frames, -1, -1), patches.transpose(1, 2)], 2)
        attended = self.attn(self.norm1(of_frames.flatten(0, 1))).reshape(of_frames.shape)
        patches = patches + attended[:, :, 1:].transpose(1, 2)
        x = torch.cat([first + attended[:, :, 0].mean(1, keepdim=True), patches.flatten(1, 2)], 1)
        return x + self.mlp(self.norm2(x))


class TimeSformer(nn.Module):
    """`VisionTransformer` of clips `[b, t, h, w, 3]` of the size it was made for."""

    def __init__(self, *, frames: int, size: int, patch: int, width: int, depth: int, heads: int, classes: int) -> None:
        super().__init__()
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, patch, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, (size // patch) ** 2 + 1, width))
        self.time_embed = nn.Parameter(torch.zeros(1, frames, width))
        self.blocks = nn.ModuleList(SpaceTimeBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        batch, frames = clips.shape[:2]
        patches = self.patch_embed.proj(clips.flatten(0, 1).permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
        patches = (patches + self.pos_embed[:, 1:]).unflatten(0, (batch, frames)).transpose(1, 2)
        first = (self.cls_token + self.pos_embed[:, :1]).expand(batch, -1, -1)
        x = torch.cat([first, (patches + self.time_embed[:, None]).flatten(1, 2)], 1)
        for block in self.blocks:
            x = block(x, frames)
        return self.head(self.norm(x)[:, 0])


class M2A(nn.Module):
    """`motion+attn`, on the features of all frames `[b * t, c, h, w]`."""

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        self.frames = frames
        self.conv_down = nn.Conv2d(channels, channels // 8, 1)
        self.conv_up = nn.Conv2d(channels // 8, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        down = self.conv_down(x)
        z = functional.layer_norm(down, down.shape[1:]).unflatten(0, (-1, self.frames))
        motion = (torch.cat([z[:, 1:], torch.zeros_like(z[:, :1])], 1) - z).flatten(2)
        attended = functional.scaled_dot_product_attention(motion, motion, motion)
        return x + x * torch.sigmoid(self.conv_up(attended.reshape(down.shape) + down))


class TemporalShift(nn.Module):
    """`TemporalShift.shift` with `fold_div=8`."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        clips = x.unflatten(0, (-1, self.frames))
        fold = x.shape[1] // 8
        shifted = clips.clone()
        shifted[:, :-1, :fold], shifted[:, -1:, :fold] = clips[:, 1:, :fold], 0
        shifted[:, 1:, fold : 2 * fold], shifted[:, :1, fold : 2 * fold] = clips[:, :-1, fold : 2 * fold], 0
        return shifted.flatten(0, 1)


class BasicBlock(nn.Module):
    """`BasicBlock` whose `conv1` stands behind M2A and a temporal shift."""

    def __init__(self, inputs: int, outputs: int, stride: int, frames: int) -> None:
        super().__init__()
        convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv1 = nn.Sequential(M2A(inputs, frames), TemporalShift(frames), convolution)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        if stride != 1 or inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class ResNet18(nn.Module):
    """ResNet-18 with M2A and temporal shifts on clips `[b, t, h, w, 3]`; the logits of frames are averaged."""

    def __init__(self, *, frames: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for stage, outputs in enumerate((64, 128, 256, 512), start=1):
            first = BasicBlock(inputs, outputs, 1 if stage == 1 else 2, frames)
            setattr(self, f"layer{stage}", nn.Sequential(first, BasicBlock(outputs, outputs, 1, frames)))
            inputs = outputs
        self.fc = nn.Linear(512, classes)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.bn1(self.conv1(clips.flatten(0, 1).permute(0, 3, 1, 2))))
        x = functional.max_pool2d(x, 3, 2, 1)
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(x.mean((2, 3))).unflatten(0, (-1, clips.shape[1])).mean(1)
