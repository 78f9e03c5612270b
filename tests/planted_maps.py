"""Made-up maps of a video of 60 x 90 pixels, of which a model saw the square in the middle, with planted values."""

import numpy as np

from motion_vit.visualization.clip_view import ClipView, place_view
from motion_vit.visualization.displacement import DisplacementField
from motion_vit.visualization.layer_maps import (
    ClipFrames,
    FrameAttention,
    LayerMap,
    MotionMap,
    PatchAttention,
    PromptMap,
    ScalarMap,
)
from motion_vit.visualization.prompt_curve import PromptCurve
from motion_vit.visualization.token_grid import TokenGrid

FRAMES, SIDE, WINDOW, HEADS = 4, 6, 5, 2
# Patches down and to the right by which everything is planted to move; the second head says the opposite.
DOWN, RIGHT = 1, 2
STRIDE = 10.0
LEFT = 15.0


def view() -> ClipView:
    numbers = tuple(range(0, 5 * FRAMES, 5))
    return place_view((60, 90), numbers, 60, times=tuple(number / 25 for number in numbers))


def grid(frames: int = FRAMES) -> TokenGrid:
    """Patches of 10 x 10 pixels; of the planted view the first begins at x = 15."""
    where = view()
    return TokenGrid(
        frames=frames,
        rows=SIDE,
        columns=SIDE,
        clip_frames=tuple(range(frames)),
        frame_numbers=where.frame_numbers,
        times=where.times,
        video_size=where.video_size,
        box=where.box,
        stride=(STRIDE, STRIDE),
        first_centre=(STRIDE / 2, LEFT + STRIDE / 2),
    )


def clip() -> ClipFrames:
    """Grey frames, each brighter than the last."""
    levels = 60 + 30 * np.arange(FRAMES)
    frames = np.broadcast_to(levels[:, None, None, None], (FRAMES, 60, 90, 3)).astype(np.uint8)
    return ClipFrames(frames, view())


def motion(layer: str = "stage3/block0") -> MotionMap:
    """Every patch moves by DOWN and RIGHT for certain; the second head says the opposite."""
    pairs = FRAMES - 1
    volume = np.zeros((pairs, SIDE, SIDE, HEADS, WINDOW, WINDOW), np.float32)
    middle = WINDOW // 2
    volume[:, :, :, 0, middle + DOWN, middle + RIGHT] = 9
    volume[:, :, :, 1, middle - DOWN, middle - RIGHT] = 9
    for row in range(SIDE):
        for column in range(SIDE):
            for u in range(WINDOW):
                for v in range(WINDOW):
                    inside = 0 <= row + u - middle < SIDE and 0 <= column + v - middle < SIDE
                    if not inside:
                        volume[:, row, column, :, u, v] = np.nan
    flow = np.zeros((3, pairs, SIDE, SIDE, 2), np.float32)
    flow[1], flow[2] = (RIGHT, DOWN), (-RIGHT, -DOWN)
    field = DisplacementField(flow, np.full(flow.shape[:-1], 0.5, np.float32))
    channels = ("mean of heads", "head 1", "head 2")
    return MotionMap(layer, grid(), field, channels, volume.reshape(pairs, SIDE, SIDE, HEADS, WINDOW**2))


def scalar(layer: str = "norm_output") -> ScalarMap:
    """Zero but for the patch at row 2, column 3, of class "up" in frame 1 and of class "down" in frame 2."""
    values = np.zeros((2, FRAMES, SIDE, SIDE), np.float32)
    values[0, 1, 2, 3], values[1, 2, 2, 3] = 4, 2
    return ScalarMap("Class activation", layer, grid(), ("up", "down"), "Class", values, "logit", (0.0, 4.0))


def attention(layer: str = "stage3/block1") -> PatchAttention:
    """Every patch attends to itself alone."""
    tokens = FRAMES * SIDE * SIDE
    weights = np.stack([np.eye(tokens, dtype=np.float32)] * HEADS)
    return PatchAttention(layer, grid(), ("head 1", "head 2"), weights)


def frame_attention(layer: str = "stage1/block0/motion") -> FrameAttention:
    values = np.full((1, 1, FRAMES, FRAMES), 0.1, np.float32)
    values[0, 0, np.arange(FRAMES), np.arange(FRAMES)] = 0.7
    return FrameAttention("Attention of frames", layer, grid(), ("all",), values)


def curve(layer: str = "prompt") -> PromptMap:
    change = np.linspace(-1, 1, 41)
    return PromptMap(layer, grid(), PromptCurve(change, 1 / (1 + np.exp(-10 * (change - 0.2))), 10.0, 0.2))


def all_maps() -> list[LayerMap]:
    second = motion("stage4/block0")
    return [motion(), second, scalar(), attention(), frame_attention(), curve()]
