"""SlowFast in PyTorch: the network of PyTorchVideo's `create_slowfast` under its names, for timing and comparison."""

import torch
from torch import nn
from torch.nn import functional as F
from torch_options import SlowFastOptions


class Stem(nn.Module):
    """A 7 x 7 convolution of one or several frames, BatchNorm, ReLU and pooling."""

    def __init__(self, features: int, frames: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, features, (frames, 7, 7), (1, 2, 2), (frames // 2, 3, 3), bias=False)
        self.norm = nn.BatchNorm3d(features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies the stem to clips `[b, 3, t, h, w]`."""
        return F.max_pool3d(F.relu(self.norm(self.conv(x))), (1, 3, 3), (1, 2, 2), (0, 1, 1))


class Block(nn.Module):
    """A bottleneck whose first convolution spans `frames` frames."""

    def __init__(self, inputs: int, width: int, frames: int, stride: int) -> None:
        super().__init__()
        steps, features = (1, stride, stride), 4 * width
        if stride > 1 or inputs != features:
            self.branch1_conv = nn.Conv3d(inputs, features, 1, steps, bias=False)
            self.branch1_norm = nn.BatchNorm3d(features)
        self.branch2 = nn.Module()
        self.branch2.conv_a = nn.Conv3d(inputs, width, (frames, 1, 1), 1, (frames // 2, 0, 0), bias=False)
        self.branch2.norm_a = nn.BatchNorm3d(width)
        self.branch2.conv_b = nn.Conv3d(width, width, (1, 3, 3), steps, (0, 1, 1), bias=False)
        self.branch2.norm_b = nn.BatchNorm3d(width)
        self.branch2.conv_c = nn.Conv3d(width, features, 1, bias=False)
        self.branch2.norm_c = nn.BatchNorm3d(features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies the block."""
        branch = self.branch2
        y = F.relu(branch.norm_a(branch.conv_a(x)))
        y = F.relu(branch.norm_b(branch.conv_b(y)))
        y = branch.norm_c(branch.conv_c(y))
        shortcut = self.branch1_norm(self.branch1_conv(x)) if hasattr(self, "branch1_conv") else x
        return F.relu(y + shortcut)


class Stage(nn.Module):
    """Blocks in a row; `inputs` counts the channels of the lateral connection, too."""

    def __init__(self, inputs: int, width: int, depth: int, frames: int, stride: int) -> None:
        super().__init__()
        first = Block(inputs, width, frames, stride)
        self.res_blocks = nn.Sequential(first, *(Block(4 * width, width, frames, 1) for _ in range(depth - 1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies the blocks."""
        return self.res_blocks(x)


class Fusion(nn.Module):
    """The lateral connection: what the Fast pathway finds, behind the channels of the Slow one."""

    def __init__(self, fast: int, frames: int, ratio: int) -> None:
        super().__init__()
        self.conv_fast_to_slow = nn.Conv3d(
            fast, 2 * fast, (frames, 1, 1), (ratio, 1, 1), (frames // 2, 0, 0), bias=False
        )
        self.norm = nn.BatchNorm3d(2 * fast)

    def forward(self, slow: torch.Tensor, fast: torch.Tensor) -> torch.Tensor:
        """Joins the pathways."""
        return torch.cat([slow, F.relu(self.norm(self.conv_fast_to_slow(fast)))], 1)


class SlowFast(nn.Module):
    """The network. Its state dict has the names of PyTorchVideo."""

    stages = ("fast_pathway",)
    """What `run_stage` takes. The Slow pathway is no chain: it takes something in after every stage."""

    def __init__(self, options: SlowFastOptions) -> None:
        super().__init__()
        if not options.fast_pathway or options.motion_module != "none" or options.temporal_convolutions != "late":
            raise ValueError(
                "the twin is the published SlowFast: fast_pathway=True, motion_module='none' and "
                f"temporal_convolutions='late', but these options are {options}"
            )
        self._ratio = options.frame_ratio
        fast_widths = [width // options.channel_ratio for width in options.widths]
        self.blocks = nn.ModuleList()
        slow, fast = options.widths[0], fast_widths[0]
        entries = [(Stem(slow, 1), Stem(fast, 5))]
        fused = [fast]
        for stage, depth in enumerate(options.depths):
            stride = 1 if stage == 0 else 2
            inputs = slow + 2 * fast
            entries.append(
                (
                    Stage(inputs, options.widths[stage], depth, 3 if stage > 1 else 1, stride),
                    Stage(fast, fast_widths[stage], depth, 3, stride),
                )
            )
            slow, fast = 4 * options.widths[stage], 4 * fast_widths[stage]
            fused.append(fast)
        for number, pathways in enumerate(entries):
            block = nn.Module()
            block.multipathway_blocks = nn.ModuleList(pathways)
            if number < len(entries) - 1:
                block.multipathway_fusion = Fusion(fused[number], options.lateral_kernel, self._ratio)
            self.blocks.append(block)
        self.blocks.append(nn.Identity())  # PyTorchVideo's pooling, which has no weights
        self.blocks.append(nn.Module())
        self.blocks[6].proj = nn.Linear(slow + fast, options.num_classes)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Classifies clips `[b, t, h, w, 3]`: logits `[b, num_classes]`."""
        fast = clips.permute(0, 4, 1, 2, 3)
        frames = fast.shape[2]
        slow = fast[:, :, torch.linspace(0, frames - 1, frames // self._ratio).long()]
        for block in self.blocks[:5]:
            slow, fast = (pathway(x) for pathway, x in zip(block.multipathway_blocks, (slow, fast), strict=True))
            if hasattr(block, "multipathway_fusion"):
                slow = block.multipathway_fusion(slow, fast)
        return self.blocks[6].proj(torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], 1))

    def run_stage(self, stage: str, x: torch.Tensor) -> torch.Tensor:
        """Applies the Fast pathway to clips `[b, t, h, w, 3]`."""
        x = x.permute(0, 4, 1, 2, 3)
        for block in self.blocks[:5]:
            x = block.multipathway_blocks[1](x)
        return x.permute(0, 2, 3, 4, 1)
