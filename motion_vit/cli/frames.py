"""`motion-vit frames score`."""

import argparse
from typing import Any

from motion_vit.cli.arguments import add_checkpoint, add_command, whole, whole_number
from motion_vit.counts import counted
from motion_vit.data.batches.batch_ranges import BATCH_SIZE, CLIPS
from motion_vit.files.local_path import local_path
from motion_vit.ranges import IMAGE_SIDE, SEED


def add_frames(commands: Any) -> None:
    """Defines `motion-vit frames score`."""
    parser = commands.add_parser("frames", help="single frames of videos", allow_abbrev=False)
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    details = (
        "Scores frames of training videos by the probability that a network of single frames gives, and writes a bank "
        'of those in the upper half, for augmentation.still = "bank" (StillMix).'
    )
    score = add_command(actions, "score", _score, "find frames that tell the class without motion", details)
    score.add_argument("data", metavar="DATA", help="training videos: prepared folder, FOLDER:SPLIT, or list file")
    add_checkpoint(score)
    score.add_argument("--out", required=True, type=local_path, metavar="FILE", help="the bank, a .npz file")
    score.add_argument(
        "--size",
        required=True,
        type=whole_number(IMAGE_SIDE),
        metavar="PIXELS",
        help="height and width: data.size of the recipe that takes the bank",
    )
    score.add_argument("--frames", type=whole(1, 1_000_000), default=1024, metavar="N", help="default: 1024")
    score.add_argument(
        "--per-video", type=whole_number(CLIPS), default=4, metavar="N", help="frames scored of each video; default: 4"
    )
    score.add_argument(
        "--score",
        choices=["prediction", "label"],
        default="prediction",
        help="the probability of the predicted class (default), or of the label",
    )
    score.add_argument("--seed", type=whole_number(SEED), default=0, help="of the draw; default: 0")
    score.add_argument(
        "--batch-size", type=whole_number(BATCH_SIZE), metavar="N", help="frames at once; default: the recipe's"
    )


def _score(options: argparse.Namespace) -> int:
    from motion_vit.training.evaluation.frame_scores import make_still_bank
    from motion_vit.training.parallel.compilation_cache import enable_compilation_cache

    enable_compilation_cache()
    frames = make_still_bank(
        options.checkpoint,
        options.data,
        options.out,
        size=options.size,
        frames=options.frames,
        per_video=options.per_video,
        score=options.score,
        seed=options.seed,
        batch_size=options.batch_size,
        which=options.which,
        ema=options.ema,
    )
    print(f"{options.out}: {counted(frames, 'frame')}")
    return 0
