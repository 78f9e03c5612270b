"""The command line: `motion-vit train | evaluate | predict | prepare | render | inspect | demo`.

What a command needs is imported when it runs, so that `--help` answers at once. A `UserError` becomes its message on
standard error and exit status 2.
"""

import argparse
import ast
import json
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from motion_vit.errors import UserError

_USER_ERROR_STATUS = 2
# What a shell reports for a command that Ctrl-C ended.
_STOPPED_STATUS = 130
_CONFIG_PREFIX = "--config."

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
      arguments: the command line without the program's name; that of this process by default.

    Returns:
      Exit status: 0, or 2 after a user's mistake, or 130 after a stop by Ctrl-C.
    """
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    try:
        options.overrides = _overrides(parser, options, rest)
        return options.run(options)
    except UserError as error:
        print(f"motion-vit: {error}", file=sys.stderr)
        return _USER_ERROR_STATUS
    except KeyboardInterrupt:
        print("motion-vit: stopped", file=sys.stderr)
        return _STOPPED_STATUS


def _overrides(parser: argparse.ArgumentParser, options: argparse.Namespace, rest: Sequence[str]) -> list[str]:
    """The arguments of the form `--config.key=value`, also where the value is the next argument."""
    overrides: list[str] = []
    waiting = iter(rest)
    for argument in waiting:
        if options.run is not _train or not argument.startswith(_CONFIG_PREFIX):
            parser.error(f"unrecognized argument: {argument}")
        if "=" not in argument:
            value = next(waiting, None)
            if value is None or value.startswith(_CONFIG_PREFIX):
                raise UserError(f"{argument} needs a value: {argument}=VALUE.")
            argument = f"{argument}={value}"
        overrides.append(argument)
    return overrides


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "motion-vit", description="Video transformers that see motion.", allow_abbrev=False
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_train(commands)
    _add_evaluate(commands)
    _add_predict(commands)
    _add_prepare(commands)
    _add_render(commands)
    _add_inspect(commands)
    _add_demo(commands)
    return parser


def _add(commands: Any, name: str, run: Command, summary: str, details: str = "") -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}. {details}", allow_abbrev=False
    )
    parser.set_defaults(run=run)
    return parser


def _add_train(commands: Any) -> None:
    details = "The same command continues an interrupted run. Any field of the recipe: --config.batch_size=8."
    parser = _add(commands, "train", _train, "train a model by a recipe", details)
    parser.add_argument("--config", required=True, metavar="FILE", help="recipe, such as configs/my_videos.py")
    parser.add_argument("--workdir", required=True, type=pathlib.Path, metavar="DIR", help="folder of the run")
    parser.usage = "motion-vit train --config FILE --workdir DIR [--config.key=value ...]"


def _train(options: argparse.Namespace) -> int:
    from motion_vit.training.compilation_cache import enable_compilation_cache
    from motion_vit.training.config import load_config
    from motion_vit.training.loop import train

    config = load_config(options.config, options.overrides)
    enable_compilation_cache()
    result = train(config, options.workdir)
    if not result.completed:
        return _STOPPED_STATUS
    accuracy = "" if result.top1 is None else f", validation top-1 {100 * result.top1:.1f} %"
    print(f"finished: {result.steps} steps{accuracy}; {options.workdir}")
    if result.undecodable:
        print(f"{len(result.undecodable)} training videos could not be decoded and did not count.")
    return 0


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", required=True, metavar="DIR", help="workdir of a training run")
    parser.add_argument(
        "--which",
        choices=["last", "best"],
        default="last",
        help="the last checkpoint, or that of best validation top-1",
    )


def _add_evaluate(commands: Any) -> None:
    details = "Writes evaluation.json, confusion.csv and confusion.png."
    parser = _add(commands, "evaluate", _evaluate, "measure a checkpoint's accuracy on a list of videos", details)
    _add_checkpoint(parser)
    parser.add_argument("--data", required=True, metavar="LIST", help="list file, CSV with header path,label")
    parser.add_argument("--clips", type=_positive, metavar="N", help="clips of each video; default: the recipe's")
    parser.add_argument("--crops", type=int, choices=[1, 3], help="crops of each clip; default: the recipe's")
    parser.add_argument(
        "--frame-order",
        choices=["normal", "frozen", "shuffled", "reversed"],
        default="normal",
        help="controls: every frame the middle one, in random order, or backwards",
    )
    parser.add_argument("--batch-size", type=_positive, metavar="N", help="views at once; default: the recipe's")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that decode; default: 0")
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", help="default: CHECKPOINT/evaluation/LIST-ORDER")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _evaluate(options: argparse.Namespace) -> int:
    from motion_vit.training.compilation_cache import enable_compilation_cache
    from motion_vit.training.evaluate_checkpoint import evaluate_checkpoint
    from motion_vit.training.evaluation import write_report

    enable_compilation_cache()
    result = evaluate_checkpoint(
        options.checkpoint,
        options.data,
        which=options.which,
        clips=options.clips,
        crops=options.crops,
        frame_order=options.frame_order,
        batch_size=options.batch_size,
        workers=options.workers,
    )
    default = (
        pathlib.Path(options.checkpoint) / "evaluation" / f"{pathlib.Path(options.data).stem}-{options.frame_order}"
    )
    files = write_report(result, options.out or default)
    if options.json:
        print(json.dumps(result.to_dict(), indent=2))
        return 0
    for name, value in result.to_dict()["per_class"].items():
        print(f"  {name:<40} {'no videos' if value is None else f'{100 * value:5.1f} %'}")
    print(f"{result.videos} videos  top-1 {100 * result.top1:.2f} %  top-5 {100 * result.top5:.2f} %")
    for path in result.skipped:
        print(f"skipped, cannot be decoded: {path}")
    print("\n".join(f"{name}: {path}" for name, path in files.items()))
    return 0


def _add_predict(commands: Any) -> None:
    parser = _add(commands, "predict", _predict, "name the most probable classes of video files")
    parser.add_argument("videos", nargs="+", metavar="VIDEO")
    _add_checkpoint(parser)
    parser.add_argument("--top", type=_positive, default=5, metavar="K", help="how many classes; default: 5")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _predict(options: argparse.Namespace) -> int:
    from motion_vit.training.checkpointing import load_for_inference
    from motion_vit.training.compilation_cache import enable_compilation_cache
    from motion_vit.training.mesh import data_mesh
    from motion_vit.training.prediction import predict

    enable_compilation_cache()
    mesh = data_mesh()
    trained = load_for_inference(options.checkpoint, which=options.which, mesh=mesh)
    predictions = predict(trained, options.videos, top=options.top, mesh=mesh)
    if options.json:
        print(json.dumps([prediction.to_dict() for prediction in predictions], indent=2))
        return 0
    for prediction in predictions:
        print(prediction.path)
        for name, probability in prediction.classes:
            print(f"  {100 * probability:5.1f} %  {name}")
    return 0


def _add_prepare(commands: Any) -> None:
    parser = commands.add_parser("prepare", help="check data and write what training reads", allow_abbrev=False)
    kinds = parser.add_subparsers(title="kinds of data", required=True, metavar="KIND")
    details = "Writes DIR/LIST with the number of frames of each video, DIR/labels.txt and a report."
    parser = _add(kinds, "list", _prepare_list, "decode every video of a list file once", details)
    parser.add_argument("--source", required=True, metavar="LIST", help="CSV with header path,label")
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--skip-bad", action="store_true", help="leave out videos that cannot be decoded")
    parser.add_argument("--workers", type=_positive, metavar="N", help="processes; default: one for each core")


def _prepare_list(options: argparse.Namespace) -> int:
    from motion_vit.data.preparation import prepare_list

    report = prepare_list(options.source, options.out, workers=options.workers, skip_bad=options.skip_bad)
    for name, count in report.videos_of_class.items():
        print(f"  {name:<40} {count:6d}")
    print(f"{report.videos} videos, {len(report.bad)} left out; {report.list_file}")
    return 0


def _add_render(commands: Any) -> None:
    parser = _add(commands, "render", _render, "render the embedded motion dataset as video files with list files")
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--train", type=_positive, default=8000, metavar="N", help="training videos; default: 8000")
    parser.add_argument("--validation", type=_positive, default=600, metavar="N", help="default: 600")
    parser.add_argument("--size", type=_positive, default=64, metavar="PIXELS", help="height and width; default: 64")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")


def _render(options: argparse.Namespace) -> int:
    from motion_vit.data.embedded_dataset import render_dataset

    splits = {"train": options.train, "validation": options.validation}
    lists = render_dataset(options.out, splits=splits, size=options.size, seed=options.seed)
    print("\n".join(f"{split}: {path}" for split, path in lists.items()))
    return 0


def _add_inspect(commands: Any) -> None:
    parser = _add(commands, "inspect", _inspect, "print a model's parameters, multiply-adds and memory by stage")
    parser.add_argument("model", metavar="MODEL", help="name of a model")
    parser.add_argument("options", nargs="*", metavar="OPTION=VALUE", help="such as frames=32 window=5")


def _inspect(options: argparse.Namespace) -> int:
    from motion_vit.models.inspection import inspect_model

    print(inspect_model(options.model, dict(_model_option(text) for text in options.options)))
    return 0


def _model_option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"{text!r} is not understood; options of a model are written OPTION=VALUE.")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _add_demo(commands: Any) -> None:
    details = "Renders the embedded dataset, prepares it, trains, evaluates with two controls, and predicts one video."
    parser = _add(commands, "demo", _demo, "show everything on the embedded motion dataset", details)
    parser.add_argument("--workdir", required=True, type=pathlib.Path, metavar="DIR", help="continued if it exists")
    parser.add_argument(
        "--config", default="configs/demo.py", metavar="FILE", help="recipe; default: configs/demo.py of the repository"
    )


def _demo(options: argparse.Namespace) -> int:
    from motion_vit.demo import run_demo
    from motion_vit.training.compilation_cache import enable_compilation_cache

    enable_compilation_cache()
    return 0 if run_demo(options.workdir, options.config) else _STOPPED_STATUS


def _positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
