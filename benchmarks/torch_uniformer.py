"""UniFormer with EMIM in PyTorch: the same network under the authors' names, for timing and comparison.

It is the fastest form that PyTorch's CPU kernels allow, not a transcript of the authors' code. Convolutions are
channels_last_3d, tokens are views of them, and attention over all tokens is `scaled_dot_product_attention`. The cost
volume is a matrix product of all pairs of a frame, whose band is extracted by indexing (faster than `unfold` or 49
shifts). The last frame pair, which the authors compute twice, is computed once and copied, as in the library.
"""

import functools
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F
from torch_options import UniFormerOptions

PADDING = 1e-6
"""What keys and values hold outside the image."""


@torch.compiler.assume_constant_result
def neighbour_table(height: int, width: int, window: int, device: torch.device) -> torch.Tensor:
    """Numbers the token at each displacement from each token, `[h * w, window ** 2]`; `h * w` outside the image."""
    return _neighbour_table(height, width, window, device)


@functools.cache
@torch.inference_mode(mode=False)  # a table first made in inference mode could not take part in training
def _neighbour_table(height: int, width: int, window: int, device: torch.device) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    shifts = torch.arange(window) - window // 2
    down, right = (shift.reshape(-1) for shift in torch.meshgrid(shifts, shifts, indexing="ij"))
    row, column = rows.reshape(-1, 1) + down, columns.reshape(-1, 1) + right
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return torch.where(inside, row * width + column, height * width).to(device)


class PatchEmbed(nn.Module):
    """Strided convolution and LayerNorm; takes and gives `[b, c, t, h, w]` in channels_last_3d."""

    def __init__(self, channels: int, width: int, *, first: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        if first:
            self.proj = nn.Conv3d(channels, width, (3, 4, 4), stride=(1, 4, 4), padding=(1, 0, 0))
        else:
            self.proj = nn.Conv3d(channels, width, (1, 2, 2), stride=(1, 2, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embeds patches."""
        # In channels_last_3d this permutation is the order in memory, so that LayerNorm copies nothing.
        return self.norm(self.proj(x).permute(0, 2, 3, 4, 1)).permute(0, 4, 1, 2, 3)


class ConvolutionMlp(nn.Module):
    """Perceptron of a convolution block, as 1x1x1 convolutions."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv3d(channels, hidden, 1)
        self.fc2 = nn.Conv3d(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies the perceptron."""
        return self.fc2(F.gelu(self.fc1(x)))


class ConvolutionBlock(nn.Module):
    """Block of stages 1 and 2."""

    def __init__(self, channels: int, options: UniFormerOptions) -> None:
        super().__init__()
        self.pos_embed = nn.Conv3d(channels, channels, 3, padding=1, groups=channels)
        self.norm1 = nn.BatchNorm3d(channels)
        self.conv1 = nn.Conv3d(channels, channels, 1)
        self.conv2 = nn.Conv3d(channels, channels, 1)
        self.attn = nn.Conv3d(channels, channels, 5, padding=2, groups=channels)
        self.norm2 = nn.BatchNorm3d(channels)
        self.mlp = ConvolutionMlp(channels, int(channels * options.mlp_ratio))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies the block."""
        x = x + self.pos_embed(x)
        x = x + self.conv2(self.attn(self.conv1(self.norm1(x))))
        return x + self.mlp(self.norm2(x))


class GlobalAttention(nn.Module):
    """Attention of all tokens of a clip, or of another sequence, with each other."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attends: `[b, t, h, w, c]` or `[b, n, c]` to the same."""
        batch, channels = x.shape[0], x.shape[-1]
        qkv = self.qkv(x).reshape(batch, -1, 3, self.heads, channels // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        x_attended = F.scaled_dot_product_attention(query, key, value)
        return self.proj(x_attended.transpose(1, 2).reshape(x.shape))


def cost_volume_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    position_bias: torch.Tensor,
    motion: Sequence[torch.Tensor],
    size: tuple[int, int],
    window: int,
) -> torch.Tensor:
    """Computes appearance and motion features of frame pairs.

    Args:
      query: scaled queries `[b, pairs, heads, h * w, d]`.
      key: keys of the other frames, of the same shape.
      value: their values.
      position_bias: `[heads, window, window]`.
      motion: kernel and bias of the hidden layer, `[window ** 2, hidden]`, and of the output, `[hidden, d]`.
      size: `h` and `w`.
      window: side of the neighbourhood.

    Returns:
      `[b, pairs, heads, h * w, d]`.
    """
    # One column more than keys: the affinity with the padding, which is the same for every place outside.
    every_pair = query @ key.transpose(-1, -2)
    outside = PADDING * query.sum(-1, keepdim=True)
    every_pair = torch.cat([every_pair, outside.to(every_pair.dtype)], dim=-1)
    table = neighbour_table(*size, window, query.device)
    table = table.expand(*every_pair.shape[:-1], -1)
    affinity = torch.gather(every_pair, -1, table) + position_bias.reshape(position_bias.shape[0], 1, -1)

    # Under automatic mixed precision the softmax is float32, and the products before and after it are not.
    weights = torch.zeros_like(every_pair).scatter_add(-1, table, affinity.softmax(-1).to(every_pair.dtype))
    appearance = weights[..., :-1] @ value + PADDING * weights[..., -1:]
    hidden_kernel, hidden_bias, output_kernel, output_bias = motion
    hidden = F.linear(affinity, hidden_kernel.t(), hidden_bias)
    return appearance + F.linear(hidden * torch.sigmoid(1.702 * hidden), output_kernel.t(), output_bias)


class CostVolumeAttention(nn.Module):
    """EMIM: attention of each frame to the neighbourhoods in the next, and the motion that its affinity tells."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.rpb = nn.Parameter(torch.randn(heads, window, window) * 0.02)
        self.motion_conv = nn.Sequential(
            nn.Linear(window**2, 4 * window**2), QuickGelu(), nn.Linear(4 * window**2, channels // heads)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attends: `[b, t, h, w, c]` to the same."""
        batch, frames, height, width, channels = x.shape
        tokens, features = height * width, channels // self.heads
        qkv = self.qkv(x).reshape(batch, frames, tokens, 3, self.heads, features)
        query, key, value = qkv.permute(3, 0, 1, 4, 2, 5)
        query, key, value = query[:, :-1] * features**-0.5, key[:, 1:], value[:, 1:]
        hidden, _, output = self.motion_conv
        motion = (hidden.weight.t(), hidden.bias, output.weight.t(), output.bias)
        pairs = cost_volume_attention(query, key, value, self.rpb, motion, (height, width), self.window)
        pairs = self.proj(pairs.transpose(2, 3).reshape(batch, frames - 1, height, width, channels))
        return torch.cat([pairs, pairs[:, -1:]], dim=1)


class QuickGelu(nn.Module):
    """The sigmoid approximation of GELU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies it."""
        return x * torch.sigmoid(1.702 * x)


class Mlp(nn.Module):
    """Perceptron of an attention block."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies the perceptron."""
        return self.fc2(F.gelu(self.fc1(x)))


class AttentionBlock(nn.Module):
    """Block of stages 3 and 4."""

    def __init__(self, channels: int, options: UniFormerOptions, *, emim: bool) -> None:
        super().__init__()
        heads = channels // options.head_channels
        self.pos_embed = nn.Conv3d(channels, channels, 3, padding=1, groups=channels)
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = CostVolumeAttention(channels, heads, options.window) if emim else GlobalAttention(channels, heads)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = Mlp(channels, int(channels * options.mlp_ratio))
        self.has_scale = options.layer_scale is not None
        if options.layer_scale is not None:
            self.gamma_1 = nn.Parameter(torch.full((channels,), options.layer_scale))
            self.gamma_2 = nn.Parameter(torch.full((channels,), options.layer_scale))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies the block to `[b, c, t, h, w]`."""
        x = (x + self.pos_embed(x)).permute(0, 2, 3, 4, 1)
        y = self.attn(self.norm1(x))
        x = x + (self.gamma_1 * y if self.has_scale else y)
        y = self.mlp(self.norm2(x))
        x = x + (self.gamma_2 * y if self.has_scale else y)
        return x.permute(0, 4, 1, 2, 3)


class UniFormer(nn.Module):
    """The network. Its state dict has the authors' names, so that their checkpoints load strictly."""

    stages = ("stage1", "stage2", "stage3", "stage4")
    """What `run_stage` takes, in the order of the forward pass."""

    def __init__(self, options: UniFormerOptions) -> None:
        super().__init__()
        channels = 3
        for stage, (width, depth) in enumerate(zip(options.widths, options.depths, strict=True), start=1):
            setattr(self, f"patch_embed{stage}", PatchEmbed(channels, width, first=stage == 1))
            blocks = nn.ModuleList(_make_block(stage, index, width, options) for index in range(depth))
            setattr(self, f"blocks{stage}", blocks)
            channels = width
        self.norm = nn.BatchNorm3d(channels)
        self.head = nn.Linear(channels, options.num_classes)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Classifies clips `[b, t, h, w, 3]`: logits `[b, num_classes]`."""
        x = clips
        for stage in self.stages:
            x = self.run_stage(stage, x)
        return self.head(self.norm(x.permute(0, 4, 1, 2, 3)).mean(dim=(2, 3, 4)))

    def run_stage(self, stage: str, x: torch.Tensor) -> torch.Tensor:
        """Applies the patch embedding and the blocks of a stage: `[b, t, h, w, c]` to the same."""
        number = stage.removeprefix("stage")
        x = getattr(self, f"patch_embed{number}")(x.permute(0, 4, 1, 2, 3))
        for block in getattr(self, f"blocks{number}"):
            x = block(x)
        return x.permute(0, 2, 3, 4, 1)


def _make_block(stage: int, index: int, width: int, options: UniFormerOptions) -> nn.Module:
    if stage <= 2:
        return ConvolutionBlock(width, options)
    pattern = options.placement
    if pattern in ("stage3", "stage4"):
        pattern = "lg" if pattern == f"stage{stage}" else "gg"
    return AttentionBlock(width, options, emim=pattern[index % 2] == "l")
