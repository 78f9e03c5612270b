"""Every argument of every command that is the address of a bucket or a server is refused before the command begins."""

import argparse
import pathlib
from collections.abc import Iterator

import pytest

from motion_vit import UserError, cli
from motion_vit.cli.arguments import add_command
from motion_vit.training.recipe.checks import validate_fields
from motion_vit.training.recipe.config import default_config, set_field

SCHEMES = ("gs", "s3", "http", "https", "hdfs")


def leaves(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yields the words of every command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from leaves(inner, (*words, name))
            return
    yield words


def parser_of(parser: argparse.ArgumentParser, words: tuple[str, ...]) -> argparse.ArgumentParser:
    for word in words:
        (commands,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        parser = commands.choices[word]
    return parser


def takes_text(action: argparse.Action) -> bool:
    """Tells if an argument may be any text, and so a path."""
    if action.nargs == 0 or action.choices or action.dest == "help":
        return False
    try:
        return action.type is None or isinstance(action.type("some/path"), pathlib.Path | str)
    except (argparse.ArgumentTypeError, ValueError):
        return False


def written(action: argparse.Action, value: str) -> list[str]:
    return [action.option_strings[-1], value] if action.option_strings else [value]


def plain(action: argparse.Action) -> str:
    """Some value that an argument takes."""
    return str(next(iter(action.choices))) if action.choices else "x" if takes_text(action) else "1"


COMMANDS = list(leaves(cli._parser()))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_an_address_is_refused_before_the_command_begins(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = cli._parser()
    command = parser_of(parser, words)
    begun: list[argparse.Namespace] = []
    command.set_defaults(run=begun.append)
    for group in command._mutually_exclusive_groups:
        group.required = False
    monkeypatch.setattr(cli, "_parser", lambda: parser)
    actions = [action for action in command._actions if takes_text(action)]
    allowed = command.get_default("addresses")
    positional = [action for action in command._actions if not action.option_strings]
    for number, action in enumerate(actions):
        if action.dest in allowed:
            continue
        address = f"{SCHEMES[number % len(SCHEMES)]}://somewhere/file"
        arguments = [*words]
        for other in command._actions:
            if other is action:
                arguments += written(action, address)
            elif other.required or (other in positional and action in positional and other.nargs != "*"):
                arguments += written(other, plain(other))
        assert cli.main(arguments) == 2, arguments
        assert f"{address} is an address, and only local paths are read and written: " in capsys.readouterr().err
    assert not begun


def test_a_command_may_take_addresses_where_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[str] = []

    def parser() -> argparse.ArgumentParser:
        made = argparse.ArgumentParser()
        commands = made.add_subparsers()
        watch = add_command(commands, "watch", lambda options: begun.append(options.url) or 0, "w", addresses=("url",))
        watch.add_argument("url")
        watch.add_argument("--out")
        return made

    monkeypatch.setattr(cli, "_parser", parser)
    assert cli.main(["watch", "https://example.org/stream"]) == 0
    assert begun == ["https://example.org/stream"]
    assert cli.main(["watch", "x", "--out", "gs://bucket/x"]) == 2
    assert "is an address" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["data.train", "data.validation", "initial_weights"])
def test_an_address_in_a_recipe_is_refused_with_its_field(name: str) -> None:
    config = default_config()
    set_field(config, name, "s3://bucket/folder:train")
    with pytest.raises(UserError, match=rf"config field {name}: s3://.* is an address, .* mount-s3"):
        validate_fields(config)


def test_notes_of_a_recipe_may_be_addresses() -> None:
    config = default_config()
    set_field(config, "notes.log", "https://example.org/run")
    validate_fields(config)
