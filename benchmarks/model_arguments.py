"""Arguments of benchmarks that choose the model and its clips."""

import argparse


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `model`, `frames`, `image_size`, `batch`, `num_classes` and `dtype`.

    Args:
      parser: of the benchmark's command line.
    """
    parser.add_argument(
        "--model",
        default="uniformer_emim_s",
        help="a UniFormer, TimeSformer, VideoMAE, R3D, MC3 or R(2+1)D of `motion_vit.list_models()`",
    )
    parser.add_argument("--frames", type=int, help="frames of a clip; by default the model's own number")
    parser.add_argument(
        "--size", type=int, dest="image_size", help="height and width in pixels; by default the model's"
    )
    parser.add_argument("--batch", type=int, default=1, help="clips")
    parser.add_argument("--num-classes", type=int, default=174)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
