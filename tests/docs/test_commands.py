"""The commands on pages and in the headers of recipes are commands of today's `motion-vit`."""

import argparse
import functools
import pathlib
import re
import shlex

import pytest

from motion_vit import cli

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RECIPES = sorted((ROOT / "configs").glob("[!_]*.py"))

_BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# The rest of a command after a backslash, or indented below it.
_CONTINUED = re.compile(r"\s*\\\n\s*|\n(?: {4,})(?=--)")


@functools.cache
def _parser() -> argparse.ArgumentParser:
    """Makes the parser once: it takes longer than what it parses."""
    return cli._parser()


@functools.cache
def _commands(page: pathlib.Path) -> list[list[str]]:
    """Arguments of every command; those with [choices] in brackets are descriptions."""
    text = "\n".join(_BLOCK.findall(page.read_text()))
    lines = _CONTINUED.sub(" ", text).splitlines()
    found = [re.match(r"(?:\$ )?motion-vit (.*)", line) for line in lines]
    return [
        shlex.split(match[1], comments=True)
        for match in found
        if match and not re.search(r"\[|\.\.\.|^--help", match[1])
    ]


def _of_recipe(recipe: pathlib.Path) -> list[list[str]]:
    header = re.sub(r"\n {12,}(?=--)", " ", recipe.read_text().split('"""')[1])
    return [shlex.split(match[1]) for match in re.finditer(r"motion-vit (\w+ .*)$", header, re.MULTILINE)]


@pytest.mark.parametrize("page", [page for page in PAGES if _commands(page)], ids=lambda page: page.name)
def test_the_commands_of_a_page_are_understood(page):
    for arguments in _commands(page):
        _, rest = _parser().parse_known_args(arguments)
        assert all(re.match(r"--config\.[\w.]+=|[a-z_]+=", argument) for argument in rest), arguments


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_commands_of_a_recipe_are_understood(recipe):
    assert _of_recipe(recipe)
    for arguments in _of_recipe(recipe):
        _, rest = _parser().parse_known_args(arguments)
        assert all(re.match(r"--config\.[\w.]+=|[a-z_]+=", argument) for argument in rest), arguments


def test_every_recipe_is_in_the_table_of_recipes():
    table = (ROOT / "docs" / "recipes.md").read_text()
    assert not [recipe.name for recipe in RECIPES if f"../configs/{recipe.name}" not in table]
