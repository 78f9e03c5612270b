"""Video Swin in PyTorch: the same network under torchvision's names, for timing and comparison.

Attention is `scaled_dot_product_attention`; torchvision and the authors multiply matrices, which takes several times as
long. Numbers and masks of windows are computed once for each size of clip.
"""

import functools

import torch
from torch import nn
from torch.nn import functional as F
from torch_options import VideoSwinOptions

Sizes = tuple[int, int, int]


@functools.cache
@torch.inference_mode(mode=False)  # what is first made in inference mode could not take part in training
def position_index(window: Sizes) -> torch.Tensor:
    """Numbers the displacements of all pairs of tokens of a window, `[n, n]`."""
    places = torch.cartesian_prod(*(torch.arange(side) for side in window))
    apart = places[:, None] - places[None, :] + torch.tensor([side - 1 for side in window])
    return (apart[..., 0] * (2 * window[1] - 1) + apart[..., 1]) * (2 * window[2] - 1) + apart[..., 2]


@functools.cache
@torch.inference_mode(mode=False)
def shift_mask(padded: Sizes, window: Sizes, shift: Sizes, device: torch.device) -> torch.Tensor:
    """Makes what is added to the logits of windows that join regions of a clip, `[windows, 1, n, n]`: 0 or -100."""
    regions = torch.zeros(1, *padded, 1)
    for axis, (side, step) in enumerate(zip(window, shift, strict=True), start=1):
        if step:
            number = torch.zeros(padded[axis - 1])
            number[-side:-step], number[-step:] = 1, 2
            regions = regions * 3 + number.reshape([-1 if each == axis else 1 for each in range(5)])
    parts = split(regions, window).squeeze(-1)
    return torch.where(parts[:, None, :] != parts[:, :, None], -100.0, 0.0)[:, None].to(device)


def split(x: torch.Tensor, window: Sizes) -> torch.Tensor:
    """Cuts clips `[b, t, h, w, c]` into windows `[b * windows, n, c]`."""
    batch, (frames, height, width), channels = len(x), x.shape[1:4], x.shape[4]
    x = x.view(
        *(batch, frames // window[0], window[0], height // window[1], window[1], width // window[2], window[2]),
        channels,
    )
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, window[0] * window[1] * window[2], channels)


class Attention(nn.Module):
    """Attention within windows."""

    def __init__(self, channels: int, heads: int, options: VideoSwinOptions, *, shifted: bool) -> None:
        super().__init__()
        self.heads, self.window, self.shifted = heads, options.attention_window, shifted
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        frames, rows, columns = self.window
        entries = (2 * frames - 1) * (2 * rows - 1) * (2 * columns - 1)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(entries, heads))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attends: `[b, t, h, w, c]` to the same."""
        batch, (frames, height, width), channels = len(x), x.shape[1:4], x.shape[4]
        grid = (frames, height, width)
        window = tuple(min(side, length) for side, length in zip(self.window, grid, strict=True))
        shift = tuple(
            side // 2 if self.shifted and side < length else 0 for side, length in zip(self.window, grid, strict=True)
        )
        padded = tuple(-(-length // side) * side for length, side in zip(grid, window, strict=True))
        x = F.pad(x, (0, 0, 0, padded[2] - width, 0, padded[1] - height, 0, padded[0] - frames))
        if any(shift):
            x = x.roll([-step for step in shift], (1, 2, 3))
        x = split(x, window)
        tokens = x.shape[1]
        query, key, value = self.qkv(x).view(-1, tokens, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        index = position_index(self.window)[:tokens, :tokens].reshape(-1).to(x.device)
        bias = self.relative_position_bias_table[index].view(1, tokens, tokens, -1).permute(0, 3, 1, 2)
        if any(shift):
            bias = (bias + shift_mask(padded, window, shift, x.device)).repeat(batch, 1, 1, 1)
        x = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
        x = self.proj(x.transpose(1, 2).flatten(2))
        counts = [length // side for length, side in zip(padded, window, strict=True)]
        x = x.view(batch, *counts, *window, channels).permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(batch, *padded, channels)
        if any(shift):
            x = x.roll(shift, (1, 2, 3))
        return x[:, :frames, :height, :width]


class Block(nn.Module):
    """Attention and a perceptron."""

    def __init__(self, channels: int, heads: int, options: VideoSwinOptions, *, shifted: bool) -> None:
        super().__init__()
        hidden = int(channels * options.mlp_ratio)
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attn = Attention(channels, heads, options, shifted=shifted)
        # The places of torchvision's dropout.
        self.mlp = nn.Sequential(
            nn.Linear(channels, hidden), nn.GELU(), nn.Identity(), nn.Linear(hidden, channels), nn.Identity()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies the block."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Merging(nn.Module):
    """Joins squares of tokens."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Merges `[b, t, h, w, c]` to `[b, t, h / 2, w / 2, 2 * c]`."""
        x = F.pad(x, (0, 0, 0, x.shape[3] % 2, 0, x.shape[2] % 2))
        parts = [x[:, :, row::2, column::2] for column in range(2) for row in range(2)]
        return self.reduction(self.norm(torch.cat(parts, -1)))


class VideoSwin(nn.Module):
    """The network. Its state dict has torchvision's names."""

    def __init__(self, options: VideoSwinOptions) -> None:
        super().__init__()
        kernel = (options.tubelet_frames, options.patch_size, options.patch_size)
        self.kernel = kernel
        self.stages = tuple(f"stage{stage}" for stage in range(1, len(options.depths) + 1))
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv3d(3, options.width, kernel, kernel)
        self.patch_embed.norm = nn.LayerNorm(options.width)
        self.features = nn.Sequential()
        channels = options.width
        for stage, depth in enumerate(options.depths):
            if stage:
                self.features.append(Merging(channels))
                channels *= 2
            heads = channels // options.head_channels
            blocks = (Block(channels, heads, options, shifted=block % 2 == 1) for block in range(depth))
            self.features.append(nn.Sequential(*blocks))
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, options.num_classes)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Classifies clips `[b, t, h, w, 3]`: logits `[b, num_classes]`."""
        x = clips
        for stage in self.stages:
            x = self.run_stage(stage, x)
        return self.head(self.norm(x).mean((1, 2, 3)))

    def run_stage(self, stage: str, x: torch.Tensor) -> torch.Tensor:
        """Applies the blocks of a stage and what is before them: the embedding of clips, or a merging of tokens."""
        number = int(stage.removeprefix("stage")) - 1
        if number:
            return self.features[2 * number](self.features[2 * number - 1](x))
        missing = [-size % side for size, side in zip(x.shape[1:4], self.kernel, strict=True)]
        x = F.pad(x, (0, 0, 0, missing[2], 0, missing[1], 0, missing[0]))
        x = self.patch_embed.proj(x.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)
        return self.features[0](self.patch_embed.norm(x))
