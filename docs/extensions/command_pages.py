"""The directive `commands`: every command of `motion-vit` with all that it takes, from the parsers themselves."""

import argparse
import re
from collections.abc import Iterator, Sequence

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from motion_vit import cli

# What stands in backquotes, and flags: as text, their hyphens would become a dash.
_CODE = re.compile(r"(`[^`]+`|(?<![\w-])--\w[\w-]*(?:\.\w+)*(?:=\w+)?)")
# Outside of code, these would begin something in Markdown.
_SIGNS = re.compile(r"([\\*_<>\[\]#|$`])")


class Commands(SphinxDirective):
    """A section for each command: what it does, how it is called, and a table of its arguments."""

    def run(self) -> list[nodes.Node]:
        """Makes the sections."""
        text = "\n\n".join(_section(*each) for each in commands(cli._parser()))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def commands(parser: argparse.ArgumentParser, words: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yields every command that can be run, with its parser; a command of several actions yields these.

    Args:
      parser: of the program or of a command.
      words: by which it is called, without the name of the program.
    """
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield words, parser
    for name, inner in (pair for group in groups for pair in group.choices.items()):
        yield from commands(inner, f"{words} {name}".strip())


def _section(words: str, parser: argparse.ArgumentParser) -> str:
    usage = parser.format_usage().removeprefix("usage: ").strip()
    parts = [f"## {words}", escaped(parser.description or ""), f"```text\n{usage}\n```"]
    tables: list[str] = []
    plain: list[argparse.Action] = []  # the groups that argparse itself makes
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.help is not argparse.SUPPRESS]
        if group in (parser._positionals, parser._optionals):
            plain += [action for action in actions if action.dest != "help"]
        elif actions:
            title = f"**{escaped((group.title or '').capitalize())}.** {escaped(group.description or '')}"
            tables.append(f"{title}\n\n{_table(actions, parser)}")
    if plain:
        tables.insert(0, _table(plain, parser))
    parts += tables
    if parser.get_default("takes_overrides"):
        parts.append("Also takes `--config.FIELD=VALUE`, which changes a [field of the recipe](fields.md).")
    return "\n\n".join(parts)


def _table(actions: Sequence[argparse.Action], parser: argparse.ArgumentParser) -> str:
    rows = [f"| {_written(action)} | {_meaning(action, parser)} |" for action in actions]
    return "\n".join(["| argument | what it is |", "|---|---|", *rows])


def _written(action: argparse.Action) -> str:
    """Writes an argument as on the command line."""
    names = action.metavar if isinstance(action.metavar, tuple) else (action.metavar or "",)
    value = " ".join(names) or (f"{{{','.join(map(str, action.choices))}}}" if action.choices else action.dest.upper())
    if not action.option_strings:
        return f"`{value}`".replace("|", "\\|")
    flags = [flag if action.nargs == 0 else f"{flag} {value}" for flag in action.option_strings]
    return ", ".join(f"`{flag}`".replace("|", "\\|") for flag in flags)


def _meaning(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """Writes what an argument is, what it may be and what it is by default."""
    text = (action.help or "") % {**vars(action), "prog": parser.prog}
    notes = [escaped(text)] if text else []
    if action.choices and action.metavar is not None and not all(str(choice) in text for choice in action.choices):
        notes.append(f"one of {', '.join(f'`{choice}`' for choice in action.choices)}")
    if action.required and action.option_strings:
        notes.append("required")
    plain = action.default not in (None, False, [], (), argparse.SUPPRESS) and action.nargs != 0
    if plain and "default" not in text:
        notes.append(f"default: `{action.default}`")
    return "; ".join(notes)


def escaped(text: str) -> str:
    """Escapes what Markdown would read in plain text; what stands in backquotes stays code.

    Args:
      text: of one paragraph.

    Returns:
      Markdown, also for the cell of a table.
    """
    pieces = _CODE.split(text.replace("\n", " "))
    return "".join(
        f"`{piece.strip('`')}`".replace("|", "\\|") if number % 2 else _SIGNS.sub(r"\\\1", piece)
        for number, piece in enumerate(pieces)
    )


def setup(app: Sphinx) -> ExtensionMetadata:
    """Registers the directive.

    Args:
      app: the build.

    Returns:
      Metadata for Sphinx.
    """
    app.add_directive("commands", Commands)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
