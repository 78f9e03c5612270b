"""`motion-vit prepare | data check | data show | data subset | render`."""

import argparse
from typing import Any

from motion_vit.cli.arguments import FAILED_STATUS, add_command, real_number, whole, whole_number
from motion_vit.cli.json_output import print_json
from motion_vit.data.embedded.dataset_ranges import APPEARANCE_BIAS, SCENE_SIZE, SPLIT_CLIPS
from motion_vit.data.sources.subset_ranges import SHOTS, SUBSET_SHARE
from motion_vit.errors import UserError
from motion_vit.files.local_path import local_path
from motion_vit.ranges import PROBABILITY, SEED

# Written out, so that `--help` need not read the datasets' modules; a test compares them with the registry.
_DATASETS = (
    "list, something_something_v1, something_something_v2, jester, kinetics400, kinetics600, kinetics700, diving48, "
    "ucf101, hmdb51, finegym, mpii_cooking2, epic_kitchens100, tfds"
)
_DATA_HELP = "prepared folder, FOLDER:SPLIT, tfds:NAME:SPLIT, or list file"


def add_prepare(commands: Any) -> None:
    """Defines `motion-vit prepare`."""
    details = (
        "Writes ArrayRecord shards that training reads and that tensorflow_datasets can open, labels and a manifest. "
        "The same command continues an interrupted preparation."
    )
    parser = add_command(commands, "prepare", _prepare, "turn a downloaded dataset into a prepared folder", details)
    parser.add_argument("dataset", metavar="NAME", help=f"one of: {_DATASETS}")
    source_help = "the download's folder; for `list` a CSV file, too; for `tfds` the name of the set, or its folder"
    parser.add_argument("--source", required=True, metavar="PATH", help=source_help)
    parser.add_argument("--out", required=True, metavar="DIR", help="the prepared folder")
    parser.add_argument(
        "--codec",
        choices=["copy", "h264-fast"],
        default="copy",
        help="copy keeps the files' bytes (default); h264-fast encodes anew, to decode several times faster",
    )
    parser.add_argument("--verify", action="store_true", help="decode every frame of every clip")
    parser.add_argument("--skip-bad", action="store_true", help="leave out clips that are missing or cannot be decoded")
    parser.add_argument("--workers", type=whole(1, 1000), metavar="N", help="processes; default: one for each core")
    parser.add_argument(
        "--split-number", type=whole(1, 100), metavar="N", help="ucf101, hmdb51: official split 1, 2 or 3"
    )
    parser.add_argument("--subset", metavar="NAME", help="finegym: gym99 (default) or gym288")
    parser.add_argument(
        "--validation-share",
        type=real_number(PROBABILITY),
        metavar="SHARE",
        help="list: share of each class to hold out where the list names no splits; default: 0.1",
    )


def _prepare(options: argparse.Namespace) -> int:
    from motion_vit.data.datasets.registry import read_dataset
    from motion_vit.data.preparation.prepare import prepare_dataset

    own_options = {name: getattr(options, name) for name in ("split_number", "subset", "validation_share")}
    source = read_dataset(options.dataset, options.source, own_options)
    for mismatch in source.mismatches:
        print(f"note: {mismatch}")
    report = prepare_dataset(
        source,
        options.out,
        codec=options.codec,
        workers=options.workers,
        verify=options.verify,
        skip_bad=options.skip_bad,
    )
    print(report.summary())
    return 0


def add_data(commands: Any) -> None:
    """Defines `motion-vit data check`, `motion-vit data show` and `motion-vit data subset`."""
    parser = commands.add_parser(
        "data", help="look at data before training on it, or take a part of it", allow_abbrev=False
    )
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    check = add_command(
        actions, "check", _check, "decode every clip and sum up what there is", "Exits with 1 if any clip is bad."
    )
    check.add_argument(
        "data", metavar="DATA", help="prepared folder or tfds:NAME (all splits), either with :SPLIT, or list file"
    )
    check.add_argument("--workers", type=whole(1, 1000), metavar="N", help="processes; default: one for each core")
    check.add_argument("--json", action="store_true", help="print JSON")
    details = "With a recipe, also what its augmentations make of them: on the host, and on the device."
    show = add_command(actions, "show", _show, "draw samples with their labels", details, takes_overrides=True)
    show.add_argument("data", metavar="DATA", help=_DATA_HELP)
    show.add_argument("--out", required=True, type=local_path, metavar="FILE", help="a .png or a .gif")
    show.add_argument(
        "--config", metavar="RECIPE", help="recipe file, or name of an installed one, or either with :ARG"
    )
    show.add_argument("--samples", type=whole(1, 1000), default=6, metavar="N", help="clips to draw; default: 6")
    show.add_argument("--seed", type=whole_number(SEED), default=0, help="another seed draws other clips; default: 0")
    show.add_argument(
        "--corruptions", metavar="NAMES", help="also what corruptions make of them: all, or names with commas between"
    )
    show.add_argument("--severities", metavar="NUMBERS", help="of the corruptions: all, or some of 1 to 5; default: 5")
    _add_subset(actions)


def _add_subset(actions: Any) -> None:
    details = (
        "Takes clips of every class at random; a smaller subset lies within a larger one of the same seed. Of a list "
        "it writes another list, of anything else a prepared folder of that split alone."
    )
    subset = add_command(actions, "subset", _subset, "take a few clips of each class, or a share", details)
    subset.add_argument("data", metavar="DATA", help=f"{_DATA_HELP}; a folder alone means its split train")
    size = subset.add_mutually_exclusive_group(required=True)
    size.add_argument("--shots", type=whole_number(SHOTS), metavar="K", help="clips of each class")
    size.add_argument(
        "--share", type=real_number(SUBSET_SHARE), metavar="SHARE", help="share of the clips of each class, such as 0.1"
    )
    subset.add_argument("--seed", type=whole_number(SEED), default=0, help="another seed takes other clips; default: 0")
    subset.add_argument(
        "--out", required=True, type=local_path, metavar="PATH", help="the list file; of a prepared folder, a folder"
    )
    subset.add_argument("--workers", type=whole(1, 1000), metavar="N", help="processes; default: one for each core")


def _subset(options: argparse.Namespace) -> int:
    from motion_vit.data.preparation.subset import write_subset
    from motion_vit.data.sources.open_source import open_source
    from motion_vit.data.sources.subset_choice import SubsetSize

    source = open_source(options.data, default_split="train")
    size = SubsetSize(options.shots, options.share)
    print(write_subset(source, options.out, size, seed=options.seed, workers=options.workers).summary())
    return 0


def _check(options: argparse.Namespace) -> int:
    from motion_vit.data.augmentation.flips import describe_flip
    from motion_vit.data.sources.open_source import open_sources
    from motion_vit.data.sources.source_check import check_source

    sources = open_sources(options.data)
    results = [check_source(source, workers=options.workers) for source in sources]
    if options.json:
        print_json([result.to_dict() for result in results])
    else:
        flips = [describe_flip("label_aware", source.label_names) for source in sources]
        notes = [f'\nwith the flip "label_aware" {flip}' if flip else "" for flip in flips]
        print("\n\n".join(result.summary() + note for result, note in zip(results, notes, strict=True)))
    return FAILED_STATUS if any(result.bad for result in results) else 0


def _show(options: argparse.Namespace) -> int:
    from motion_vit.data.augmentation.flips import describe_flip
    from motion_vit.data.corruptions.corruption import Corruption, parse_corruptions, parse_severities
    from motion_vit.data.sources.open_source import open_source
    from motion_vit.training.inputs.preview import draw_samples
    from motion_vit.training.recipe.checks import validate_fields
    from motion_vit.training.recipe.config import default_config
    from motion_vit.training.recipe.file import load_config

    if options.overrides and not options.config:
        raise UserError(f"{options.overrides[0]} changes a field of a recipe; give the recipe with --config.")
    if options.severities and options.corruptions is None:
        raise UserError("--severities belongs to --corruptions, which is not given; add --corruptions all, or names.")
    names = () if options.corruptions is None else parse_corruptions(options.corruptions)
    severities = parse_severities("5" if options.severities is None else options.severities)
    config = load_config(options.config, options.overrides) if options.config else default_config()
    validate_fields(config)
    source = open_source(options.data, default_split="train")
    draw_samples(
        source,
        config,
        options.out,
        samples=options.samples,
        seed=options.seed,
        # The frames as an evaluation sees them are not those that are augmented.
        augmented=options.config is not None and not names,
        corruptions=[Corruption(name, severity) for name in names for severity in severities],
    )
    if flip := describe_flip(config.augmentation.flip, source.label_names):
        print(flip)
    print(options.out)
    return 0


def add_render(commands: Any) -> None:
    """Defines `motion-vit render`."""
    parser = add_command(commands, "render", _render, "render the embedded motion dataset as video files")
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument(
        "--train", type=whole_number(SPLIT_CLIPS), default=8000, metavar="N", help="training videos; default: 8000"
    )
    parser.add_argument("--validation", type=whole_number(SPLIT_CLIPS), default=600, metavar="N", help="default: 600")
    parser.add_argument(
        "--size", type=whole_number(SCENE_SIZE), default=64, metavar="PIXELS", help="height and width; default: 64"
    )
    parser.add_argument("--seed", type=whole_number(SEED), default=0, help="default: 0")
    parser.add_argument(
        "--appearance-bias",
        type=real_number(APPEARANCE_BIAS),
        metavar="P",
        help="probability that the background of a video has the texture and colours of its class, else those of "
        "another one; default: looks have nothing to do with classes",
    )
    parser.add_argument(
        "--validation-looks",
        choices=["biased", "unbiased", "conflicting"],
        help="with --appearance-bias: looks of the validation videos as in training (default), of any class, or never "
        "of their own",
    )


def _render(options: argparse.Namespace) -> int:
    from motion_vit.data.embedded.dataset import render_dataset

    splits = {"train": options.train, "validation": options.validation}
    if options.validation_looks and options.appearance_bias is None:
        raise UserError("--validation-looks is for videos whose looks follow labels; give --appearance-bias as well.")
    looks = {"validation": options.validation_looks} if options.validation_looks else {}
    lists = render_dataset(
        options.out,
        splits=splits,
        size=options.size,
        seed=options.seed,
        appearance_bias=options.appearance_bias,
        looks=looks,
    )
    print("\n".join(f"{split}: {path}" for split, path in lists.items()))
    return 0
