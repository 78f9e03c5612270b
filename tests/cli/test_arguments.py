"""What the commands say of arguments that they cannot read."""

import argparse
from collections.abc import Iterator

import pytest

from motion_vit import cli
from motion_vit.files.local_path import local_path

UNREADABLE = ("two", "", "1.5.2", "nan", "-7", "1e999", "1,two", "٣x", "9" * 5000)


def actions(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, argparse.Action]]:
    """All arguments of all commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield from actions(command, (*words, name))
        else:
            yield " ".join((*words, action.dest)), action


READ = {
    name: action.type
    for name, action in actions(cli._parser())
    if action.type is not None and action.type is not local_path
}


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda text: text[:9])
@pytest.mark.parametrize("name", READ)
def test_an_argument_that_cannot_be_read_is_told_with_what_was_expected(name: str, text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"^given '.*', but expected ."):
        READ[name](text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "--clips", "two"], "--clips: given 'two', but expected a whole number from 1 to 1000"),
        (["evaluate", "--crops", "2"], "--crops: given '2', but expected one of 1, 3"),
        (["evaluate", "--batch-size", "0"], "--batch-size: given '0', but expected a whole number from 1 to"),
        (["visualize", "--temperature", "hot"], "--temperature: given 'hot', but expected a number above 0"),
        (["visualize", "--temperature", "0"], "--temperature: given '0', but expected a number above 0"),
        (["visualize", "--start", "-1"], "--start: given '-1', but expected a number from 0 to"),
        (["visualize", "--start", "nan"], "--start: given 'nan', but expected a number from 0 to"),
        (["visualize", "--clip", "0"], "--clip: given '0', but expected a whole number from 1 to"),
        (["visualize", "--clips", "2.5"], "--clips: given '2.5', but expected a whole number from 1 to"),
        (["visualize", "--patch", "nan,3"], "--patch: given 'nan,3', but expected a place Y,X in pixels"),
        (["visualize", "--what", "cam,can"], "--what: given 'can', but expected one of motion, cost_volume"),
        (["prepare", "--validation-share", "half"], "given 'half', but expected a number from 0 to below 1"),
        (["export", "--batch", "-1"], "given '-1', but expected a whole number from 1 to 65536, or the word symbolic"),
        (["import", "--seed", str(2**32)], "but expected a whole number from 0 to 4294967295"),
    ],
)
def test_the_command_line_prints_it(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
