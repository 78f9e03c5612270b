"""`motion-vit features`."""

import argparse
import shlex
from typing import Any, get_args

from motion_vit.cli.arguments import FAILED_STATUS, add_checkpoint, add_command, whole_number
from motion_vit.counts import counted
from motion_vit.data.batches.batch_ranges import BATCH_SIZE, CLIPS, CROPS, WORKERS
from motion_vit.data.features.description import FeatureDtype
from motion_vit.files.local_path import local_path
from motion_vit.outside_text import for_terminal
from motion_vit.ranges import IMAGE_SIDE


def add_features(commands: Any) -> None:
    """Defines `motion-vit features`."""
    details = (
        "Runs the encoder of frames of a model once over each video and keeps its tokens, so that trainings of what "
        "follows it (data.features) neither decode videos nor run the encoder. The same command goes on where it was "
        "interrupted. Exits with 1 if a video could not be decoded. Clips are made as the checkpoint's recipe says, "
        "but for --config.data.sampling, --config.data.stride and --config.data.fps."
    )
    summary = "compute what a frozen encoder says of videos"
    parser = add_command(commands, "features", _features, summary, details, takes_overrides=True)
    parser.add_argument("data", metavar="DATA", help="labelled videos: list file, prepared folder, or FOLDER:SPLIT")
    add_checkpoint(parser)
    parser.add_argument("--out", required=True, type=local_path, metavar="FOLDER", help="where the features go")
    parser.add_argument(
        "--pool",
        type=whole_number(IMAGE_SIDE),
        metavar="N",
        help="average the tokens of a frame to N x N, as the model option frame_pool; default: the model's",
    )
    parser.add_argument(
        "--dtype", choices=get_args(FeatureDtype), default="bfloat16", help="of the tokens; default: bfloat16"
    )
    parser.add_argument(
        "--clips", type=whole_number(CLIPS), metavar="N", help="clips of each video, of which training draws one"
    )
    parser.add_argument("--crops", type=whole_number(CROPS), metavar="{1,3}", help="crops of each clip, likewise")
    parser.add_argument(
        "--batch-size", type=whole_number(BATCH_SIZE), metavar="N", help="views at once; default: the recipe's"
    )
    parser.add_argument(
        "--workers", type=whole_number(WORKERS), default=0, metavar="N", help="processes that decode; default: 0"
    )


def _features(options: argparse.Namespace) -> int:
    from motion_vit.training.features.extraction import plan_features
    from motion_vit.training.parallel.compilation_cache import enable_compilation_cache

    enable_compilation_cache()
    extraction = plan_features(
        options.checkpoint,
        options.data,
        options.out,
        which=options.which,
        ema=options.ema,
        pool=options.pool,
        dtype=options.dtype,
        clips=options.clips,
        crops=options.crops,
        batch_size=options.batch_size,
        workers=options.workers,
        overrides=options.overrides,
    )
    print(for_terminal(extraction.describe()), flush=True)
    result = extraction.run()
    there = result.videos - result.computed
    of_before = f", {there} of which were there" if there else ""
    print(f"{for_terminal(str(result.folder))}: {counted(result.videos, 'video')}{of_before}; {result.seconds:.1f} s")
    for video in result.undecodable:
        print(f"left out, cannot be decoded: {for_terminal(video.video)}: {for_terminal(video.reason)}")
    fields = {"data.train": options.data, "data.features": result.folder, "initial_weights": options.checkpoint}
    overrides = " ".join(f"--config.{name}={shlex.quote(str(value))}" for name, value in fields.items())
    print(f"train on them: motion-vit train --config RECIPE --workdir DIR {overrides}")
    return FAILED_STATUS if result.undecodable else 0
