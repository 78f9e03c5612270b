"""Ranges of the sizes of batches and of the views that testing makes."""

from typing import Literal, get_args

from motion_vit.ranges import Choice, Number, Whole

BATCH_SIZE = Whole(1, 1_000_000)
"""Clips, videos or views of a batch, over all hosts."""

WORKERS = Whole(0, 1000)
"""Processes that decode."""

THREADS = Whole(0, 1000)
"""Threads that decode, 0 for as many as cores."""

STRIDE = Whole(1, 1_000_000)
"""Frames of the video from one frame of a clip to the next."""

CLIPS = Whole(1, 1000)
"""Clips that testing spreads over a video."""

CROPS = Choice((1, 3))
"""Crops of each of them."""

CLASS_BALANCE = Number(0, 1)
"""How far the classes of training clips are made equal: 0 as they are, 1 all alike."""

TimePerturbation = Literal["off", "repeat", "shuffle", "reverse"]
"""What is done to the order of the frames of a clip, see `time_perturbation.perturbed_order`."""

STRONG_TIME = Choice(get_args(TimePerturbation))
"""What is done to the order of frames in strong views."""
