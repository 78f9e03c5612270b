"""Ranges of the arguments of the embedded dataset."""

from motion_vit.ranges import Number, Whole

SPLIT_CLIPS = Whole(1, 1_000_000)
"""Clips of a split."""

SCENE_SIZE = Whole(16, 4096)
"""Height and width of the videos in pixels, which are even besides."""

CLIP_FRAMES = Whole(2, 10_000)
"""Frames of a clip."""

PROCESSES = Whole(1, 1000)
"""Processes that render."""

APPEARANCE_BIAS = Number(0, 1, above=True)
"""Probability that a video has the look of its class."""
