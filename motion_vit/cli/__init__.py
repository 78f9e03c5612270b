"""The command line, `motion-vit COMMAND`.

Commands import their modules when they run, so that `--help` answers at once. A `UserError` becomes its message on
standard error and exit status 2. All that is printed passes `motion_vit.terminal`. If the reader of the output closes
the pipe, as `head` does, the command ends quietly.
"""

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from typing import Any

from motion_vit.cli.arguments import CONFIG_PREFIX, INTERRUPTED_STATUS, refuse_addresses, refuse_argument
from motion_vit.cli.comparison import add_compare, add_transfer
from motion_vit.cli.data import add_data, add_prepare, add_render
from motion_vit.cli.demo import add_demo
from motion_vit.cli.evaluation import add_calibrate, add_evaluate
from motion_vit.cli.export import add_export
from motion_vit.cli.features import add_features
from motion_vit.cli.frames import add_frames
from motion_vit.cli.importing import add_import
from motion_vit.cli.inspection import add_inspect
from motion_vit.cli.models import add_models
from motion_vit.cli.prediction import add_predict
from motion_vit.cli.probing import add_probe
from motion_vit.cli.recipes import add_recipe
from motion_vit.cli.serving import add_serve
from motion_vit.cli.shifted_videos import add_source_statistics
from motion_vit.cli.streaming import add_stream
from motion_vit.cli.training import add_pretrain, add_train
from motion_vit.cli.visualization import add_visualize
from motion_vit.errors import UserError
from motion_vit.terminal import safe_output
from motion_vit.training.parallel.tpu_environment import quiet_absent_tpu

_USER_ERROR_STATUS = 2
# What is wrong with the disk or with permissions, and not with this program, wherever it shows.
_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
_BROKEN_PIPE_STATUS = 141  # that of a program which the signal SIGPIPE ends


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
      arguments: the command line without the program's name; that of this process by default.

    Returns:
      Exit status: 0 for success; 2 after a user's mistake; 130 after Ctrl-C; 141 if the output's reader is gone. 1 if
      `data check` found bad clips, `predict` a video that cannot be decoded, `predict` or `evaluate` NaN or infinite
      logits, or another process of the run is lost. 3 if `inspect` finds that a step does not fit. 75 if training was
      stopped after saving: the same command continues it.
    """
    quiet_absent_tpu()
    with safe_output():
        return _run(sys.argv[1:] if arguments is None else arguments)


def _run(arguments: Sequence[str]) -> int:
    parser = _parser()
    try:
        options, rest = parser.parse_known_args(_with_joined_overrides(arguments))
        rest = _take_model_options(options, rest)
        options.overrides = _overrides(options, rest)
        refuse_addresses(options)
        status: int = options.run(options)
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"motion-vit: {error}", file=sys.stderr)
        return _USER_ERROR_STATUS
    except KeyboardInterrupt:
        print("motion-vit: stopped", file=sys.stderr)
        return INTERRUPTED_STATUS
    except BrokenPipeError:
        if not _nobody_reads():
            raise
        return _BROKEN_PIPE_STATUS
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        where = error.filename or ("the output" if _nobody_reads() else "a file")
        print(f"motion-vit: {where}: {error.strerror}. Check the free space and the permissions.", file=sys.stderr)
        return _USER_ERROR_STATUS


def _nobody_reads() -> bool:
    """Tells if standard output takes nothing: it is the pipe that broke, or full. If so, discards the rest of it."""
    try:
        print(flush=True)
    except OSError:
        # The interpreter flushes once more when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _with_joined_overrides(arguments: Sequence[str]) -> list[str]:
    """Writes `--config.key value` as `--config.key=value`: argparse does not know the flag, and may take the value."""
    joined: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument.startswith(CONFIG_PREFIX) and "=" not in argument:
            value = next(waiting, None)
            if value is None or value.startswith("--"):
                raise UserError(f"{argument} needs a value: {argument}=VALUE.")
            argument = f"{argument}={value}"
        joined.append(argument)
    return joined


def _take_model_options(options: argparse.Namespace, rest: Sequence[str]) -> list[str]:
    """Moves words behind flags to the model's options: argparse may end a list at a flag."""
    if "options" not in options:
        return list(rest)
    options.options += [argument for argument in rest if not argument.startswith("-")]
    return [argument for argument in rest if argument.startswith("-")]


def _overrides(options: argparse.Namespace, rest: Sequence[str]) -> list[str]:
    """Returns the arguments of the form `--config.key=value`; any other is an error."""
    for argument in rest:
        if not options.takes_overrides or not argument.startswith(CONFIG_PREFIX):
            refuse_argument(options.parser, argument)
    return list(rest)


class _Version(argparse.Action):
    """Prints the version, which is looked up for this flag alone."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Prints the version and exits."""
        import importlib.metadata

        print(f"motion_vit {importlib.metadata.version('motion_vit')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "motion-vit", description="Video transformers that see motion.", allow_abbrev=False
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and leave")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_prepare(commands)
    add_data(commands)
    add_recipe(commands)
    add_train(commands)
    add_pretrain(commands)
    add_evaluate(commands)
    add_calibrate(commands)
    add_source_statistics(commands)
    add_probe(commands)
    add_features(commands)
    add_predict(commands)
    add_stream(commands)
    add_visualize(commands)
    add_serve(commands)
    add_export(commands)
    add_import(commands)
    add_models(commands)
    add_inspect(commands)
    add_render(commands)
    add_frames(commands)
    add_demo(commands)
    add_compare(commands)
    add_transfer(commands)
    return parser
