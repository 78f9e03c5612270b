"""TimeSformer in PyTorch: the same network under the authors' names, for timing and comparison.

It is the fastest form that was found on a CPU, not a transcript of the authors' code. Tokens lie frame by frame, so
that only the attention over time has to reorder them, and attention within frames is `scaled_dot_product_attention`.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch_options import TimeSformerOptions
from torch_uniformer import GlobalAttention, Mlp


class AttentionOverTime(GlobalAttention):
    """Attention of each patch with the same patch in the other frames."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attends over the frames: `[b, t, patches, c]` to the same."""
        batch, frames, patches, _ = x.shape
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(3, 0, 2, 4, 1, 5)
        query, key, value = qkv.flatten(1, 2)
        if x.is_cuda:
            attended = F.scaled_dot_product_attention(query, key, value)
        else:
            # Sequences of as many tokens as frames are too short for the CPU's fused kernel: for 196 patches in 8
            # frames and 12 heads of 64 it takes as long forward and over twice as long with the backward pass.
            weights = (query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2)).softmax(-1)
            attended = weights.to(value.dtype) @ value
        attended = attended.unflatten(0, (batch, patches)).permute(0, 3, 1, 2, 4)
        return self.proj(attended.reshape(batch, frames, patches, -1))


class Block(nn.Module):
    """Attention over time, attention within each frame, and a perceptron ("divided space-time")."""

    def __init__(self, options: TimeSformerOptions) -> None:
        super().__init__()
        width = options.width
        self.norm1, self.norm2, self.temporal_norm1 = (nn.LayerNorm(width, eps=1e-6) for _ in range(3))
        self.attn = GlobalAttention(width, options.heads)
        self.temporal_attn = AttentionOverTime(width, options.heads)
        self.temporal_fc = nn.Linear(width, width)
        self.mlp = Mlp(width, int(width * options.mlp_ratio))

    def forward(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        """Applies the block to a class token and the patches frame by frame, `[b, 1 + t * patches, c]`."""
        class_token, patches = x[:, :1], x[:, 1:].unflatten(1, (frames, -1))
        patches = patches + self.temporal_fc(self.temporal_attn(self.temporal_norm1(patches)))
        of_frames = torch.cat([class_token[:, None].expand(-1, frames, -1, -1), patches], dim=2)
        seen = self.attn(self.norm1(of_frames.flatten(0, 1))).unflatten(0, (-1, frames))
        class_token = class_token + seen[:, :, 0].mean(1, keepdim=True)
        x = torch.cat([class_token, (patches + seen[:, :, 1:]).flatten(1, 2)], dim=1)
        return x + self.mlp(self.norm2(x))


class TimeSformer(nn.Module):
    """The network, for clips of the size it was made for. Its state dict has the authors' names."""

    stages = ("embedding", "blocks")
    """What `run_stage` takes, in the order of the forward pass."""

    def __init__(self, options: TimeSformerOptions) -> None:
        super().__init__()
        self.frames = options.frames
        width, patch = options.width, options.patch_size
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, patch, patch)
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.pos_embed = nn.Parameter(torch.randn(1, (options.image_size // patch) ** 2 + 1, width) * 0.02)
        self.time_embed = nn.Parameter(torch.randn(1, options.frames, width) * 0.02)
        self.blocks = nn.ModuleList(Block(options) for _ in range(options.depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, options.num_classes)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Classifies clips `[b, t, h, w, 3]`: logits `[b, num_classes]`."""
        x = clips
        for stage in self.stages:
            x = self.run_stage(stage, x)
        return self.head(self.norm(x[:, 0]))

    def run_stage(self, stage: str, x: torch.Tensor) -> torch.Tensor:
        """Embeds clips `[b, t, h, w, 3]` as tokens `[b, 1 + t * patches, c]`, or applies all blocks to tokens."""
        if stage == "embedding":
            return self._embed(x)
        for block in self.blocks:
            x = block(x, self.frames)
        return x

    def _embed(self, clips: torch.Tensor) -> torch.Tensor:
        batch, frames = clips.shape[:2]
        patches = self.patch_embed.proj(clips.flatten(0, 1).permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
        patches = patches.unflatten(0, (batch, frames)) + self.pos_embed[:, None, 1:] + self.time_embed[:, :, None]
        class_token = (self.cls_token + self.pos_embed[:, :1]).expand(batch, -1, -1)
        return torch.cat([class_token, patches.flatten(1, 2)], dim=1)
