"""MViTv2 in PyTorch: the same network under torchvision's names, for timing and comparison.

Convolutions and heads are arranged as in torchvision; attention is `scaled_dot_product_attention`, whose mask holds the
terms of the relative positions.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch_options import MViTOptions

Grid = tuple[int, int, int]


class Pool(nn.Module):
    """A depthwise convolution that all heads share, past the class token, and a LayerNorm: `[b, heads, n, d]`."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.pool = nn.Conv3d(channels, channels, 3, (1, stride, stride), 1, groups=channels, bias=False)
        self.norm_act = nn.Sequential(nn.LayerNorm(channels, eps=1e-6))

    def forward(self, x: torch.Tensor, grid: Grid) -> tuple[torch.Tensor, Grid]:
        """Pools tokens of a grid; returns them and their grid."""
        class_token, patches = x[:, :, :1], x[:, :, 1:]
        patches = patches.flatten(0, 1).transpose(1, 2).unflatten(2, grid)
        pooled = self.pool(patches)
        tokens = pooled.flatten(2).transpose(1, 2).unflatten(0, x.shape[:2])
        return self.norm_act(torch.cat([class_token, tokens], dim=2)), tuple(pooled.shape[2:])


class Attention(nn.Module):
    """Attention of pooled queries, keys and values, with relative positions and residual pooling."""

    def __init__(self, inputs: int, width: int, heads: int, grid: Grid, query_stride: int, key_stride: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(inputs, 3 * width)
        self.project = nn.Sequential(nn.Linear(width, width))
        channels = width // heads
        self.pool_q = Pool(channels, query_stride)
        self.pool_k, self.pool_v = (Pool(channels, key_stride) for _ in range(2))
        size = 2 * max(grid[1] // query_stride, grid[1] // key_stride) - 1
        self.rel_pos_h, self.rel_pos_w = (nn.Parameter(0.02 * torch.randn(size, channels)) for _ in range(2))
        self.rel_pos_t = nn.Parameter(0.02 * torch.randn(2 * grid[0] - 1, channels))

    def forward(self, x: torch.Tensor, grid: Grid) -> tuple[torch.Tensor, Grid]:
        """Attends: `[b, n, c]` on a grid to the tokens of the queries' grid."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, query_grid = self.pool_q(qkv[0], grid)
        key, key_grid = self.pool_k(qkv[1], grid)
        value, _ = self.pool_v(qkv[2], grid)
        attended = F.scaled_dot_product_attention(query, key, value, self._positions(query, query_grid, key_grid))
        attended = torch.cat([attended[:, :, :1], attended[:, :, 1:] + query[:, :, 1:]], dim=2)
        return self.project(attended.transpose(1, 2).flatten(2)), query_grid

    def _positions(self, query: torch.Tensor, query_grid: Grid, key_grid: Grid) -> torch.Tensor:
        """Makes the terms of all pairs `[b, heads, n, m]`, zero for the class token."""
        patches = query[:, :, 1:].unflatten(2, query_grid)
        t, h, w = (
            table[_distances(queries, keys)]
            for table, queries, keys in zip(
                (self.rel_pos_t, self.rel_pos_h, self.rel_pos_w), query_grid, key_grid, strict=True
            )
        )
        terms = (
            torch.einsum("bnthwd,tkd->bnthwk", patches, t)[..., :, None, None]
            + torch.einsum("bnthwd,hkd->bnthwk", patches, h)[..., None, :, None]
            + torch.einsum("bnthwd,wkd->bnthwk", patches, w)[..., None, None, :]
        )
        return F.pad(terms.flatten(5).flatten(2, 4), (1, 0, 1, 0))


def _distances(queries: int, keys: int) -> torch.Tensor:
    """Numbers the rows of a table for each query and key."""
    of_queries = torch.arange(queries)[:, None] * max(keys / queries, 1.0)
    of_keys = torch.arange(keys)[None, :] * max(queries / keys, 1.0)
    return (of_queries - of_keys + (keys - 1) * max(queries / keys, 1.0)).long()


class Block(nn.Module):
    """Pooling attention and a perceptron; where a stage begins, tokens become fewer and wider."""

    def __init__(self, inputs: int, width: int, heads: int, grid: Grid, stride: int, key_stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(inputs, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(inputs, width, heads, grid, stride, key_stride)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(0.0), nn.Linear(4 * width, width))
        self.project = nn.Linear(inputs, width) if inputs != width else None
        self.stride = stride

    def forward(self, x: torch.Tensor, grid: Grid) -> tuple[torch.Tensor, Grid]:
        """Applies the block; returns tokens and their grid."""
        y = self.norm1(x)
        skip = x if self.project is None else self.project(y)
        if self.stride > 1:
            patches = skip[:, 1:].transpose(1, 2).unflatten(2, grid)
            pooled = F.max_pool3d(patches, (1, 3, 3), (1, self.stride, self.stride), (0, 1, 1))
            skip = torch.cat([skip[:, :1], pooled.flatten(2).transpose(1, 2)], dim=1)
        attended, grid = self.attn(y, grid)
        x = skip + attended
        return x + self.mlp(self.norm2(x)), grid


class MViT(nn.Module):
    """The network, for clips of the size it was made for. Its state dict has torchvision's names."""

    stages = ("embedding", "blocks")
    """What `run_stage` takes, in the order of the forward pass."""

    def __init__(self, options: MViTOptions) -> None:
        super().__init__()
        self.grid = (options.frames // 2, options.image_size // 4, options.image_size // 4)
        self.conv_proj = nn.Conv3d(3, options.width, (3, 7, 7), (2, 4, 4), (1, 3, 3))
        self.pos_encoding = nn.Module()
        self.pos_encoding.class_token = nn.Parameter(0.02 * torch.randn(options.width))
        blocks = []
        grid, inputs = self.grid, options.width
        for stage, depth in enumerate(options.depths):
            for block in range(depth):
                width, stride = options.width * 2**stage, 2 if stage and not block else 1
                key_stride = max(options.key_stride // 2**stage, 1)
                blocks.append(Block(inputs, width, options.heads * 2**stage, grid, stride, key_stride))
                grid, inputs = (grid[0], grid[1] // stride, grid[2] // stride), width
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(inputs, eps=1e-6)
        self.head = nn.Sequential(nn.Dropout(0.0), nn.Linear(inputs, options.num_classes))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Classifies clips `[b, t, h, w, 3]`: logits `[b, num_classes]`."""
        patches = self.run_stage("embedding", clips).flatten(1, 3)
        class_token = self.pos_encoding.class_token.expand(len(clips), 1, -1)
        x = self.run_stage("blocks", torch.cat([class_token, patches], dim=1))
        return self.head(self.norm(x[:, 0]))

    def run_stage(self, stage: str, x: torch.Tensor) -> torch.Tensor:
        """Embeds clips `[b, t, h, w, 3]` as patches `[b, t2, h2, w2, c]`, or applies blocks to tokens `[b, n, c]`."""
        if stage == "embedding":
            return self.conv_proj(x.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)
        grid = self.grid
        for block in self.blocks:
            x, grid = block(x, grid)
        return x
