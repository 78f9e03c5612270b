"""VideoMAE in PyTorch: the same network under the authors' names, for timing and comparison.

Attention is `scaled_dot_product_attention`; the authors multiply matrices.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch_options import VideoMAEOptions
from torch_uniformer import Mlp


class Attention(nn.Module):
    """Attention of all tokens of a clip with each other, whose keys have no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias, self.v_bias = (nn.Parameter(torch.zeros(width)) for _ in range(2))
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attends: `[b, n, c]` to the same."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv = F.linear(x, self.qkv.weight, bias).unflatten(-1, (3, self.heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.proj(attended.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and a perceptron."""

    def __init__(self, options: VideoMAEOptions) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(options.width, eps=1e-6) for _ in range(2))
        self.attn = Attention(options.width, options.heads)
        self.mlp = Mlp(options.width, int(options.width * options.mlp_ratio))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies the block."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VideoMAE(nn.Module):
    """The network, for clips of the size it was made for. Its state dict has the authors' names."""

    stages = ("embedding", "blocks")
    """What `run_stage` takes, in the order of the forward pass."""

    def __init__(self, options: VideoMAEOptions) -> None:
        super().__init__()
        kernel = (options.tubelet_frames, options.patch_size, options.patch_size)
        self.grid = (options.frames // kernel[0], options.image_size // kernel[1], options.image_size // kernel[2])
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv3d(3, options.width, kernel, kernel)
        self.register_buffer("pos_embed", _table(self.grid, options.width), persistent=False)
        self.blocks = nn.ModuleList(Block(options) for _ in range(options.depth))
        self.fc_norm = nn.LayerNorm(options.width, eps=1e-6)
        self.head = nn.Linear(options.width, options.num_classes)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Classifies clips `[b, t, h, w, 3]`: logits `[b, num_classes]`."""
        x = clips
        for stage in self.stages:
            x = self.run_stage(stage, x)
        return self.head(self.fc_norm(x.flatten(1, 3).mean(1)))

    def run_stage(self, stage: str, x: torch.Tensor) -> torch.Tensor:
        """Embeds clips `[b, t, h, w, 3]` as tokens `[b, t2, h2, w2, c]`, or applies all blocks to tokens."""
        if stage == "embedding":
            return self.patch_embed.proj(x.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1) + self.pos_embed
        tokens = x.flatten(1, 3)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens.reshape(x.shape)


def _table(grid: tuple[int, int, int], width: int) -> torch.Tensor:
    """Makes the fixed positions `[1, t, h, w, c]`: sines in even channels, cosines in odd ones."""
    places = torch.arange(grid[0] * grid[1] * grid[2], dtype=torch.float64)
    channels = torch.arange(width)
    angles = places[:, None] / 10000 ** (2 * (channels // 2) / width)
    table = torch.where(channels % 2 == 0, angles.sin(), angles.cos())
    return table.float().reshape(1, *grid, width)
