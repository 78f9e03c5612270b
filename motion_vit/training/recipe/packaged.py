"""Finds recipes that are installed with the library: those of the repository's folder `configs/`."""

import ast
import importlib.resources
import pathlib
import re

from motion_vit.errors import UserError, did_you_mean

_PACKAGE = "motion_vit.recipes"
# NAME, or NAME:PART of a file with several recipes or with a parameter. Paths have a suffix, and mostly a folder; a
# single letter is a drive, and what has slashes behind the colon an address.
_NAME = re.compile(r"(?P<name>[A-Za-z]\w+)(?P<part>:(?!/).*)?", re.DOTALL)


def packaged_recipes() -> dict[str, pathlib.Path]:
    """Finds the recipe files that are installed with the library.

    Returns:
      Name -> file, by name.
    """
    folder = pathlib.Path(str(importlib.resources.files(_PACKAGE)))
    return {file.stem: file for file in sorted(folder.glob("*.py")) if file.stem != "__init__"}


def installed_recipe(name: str) -> pathlib.Path:
    """Finds the file of an installed recipe.

    Args:
      name: its name, optionally followed by :PART or .py.

    Returns:
      The file.

    Raises:
      UserError: no installed recipe has that name.
    """
    recipes = packaged_recipes()
    stem = name.partition(":")[0].removesuffix(".py")
    if stem not in recipes:
        hint = did_you_mean(stem, recipes)
        raise UserError(f"no recipe {name!r} is installed.{hint} Those that are: {', '.join(recipes)}.")
    return recipes[stem]


def recipe_file(path: str) -> str:
    """Resolves the name of a recipe to its file.

    Args:
      path: a path, or the name of an installed recipe, such as "my_videos"; both may end in :PART.

    Returns:
      The path, with the name replaced by its file.

    Raises:
      UserError: it can only be a name, and there is no such installed recipe.
    """
    match = _NAME.fullmatch(path)
    if match is None or pathlib.Path(path).is_file():
        return path
    try:
        return f"{installed_recipe(match['name'])}{match['part'] or ''}"
    except UserError as error:
        raise UserError(f"there is no config file {path}, and {error}") from error


def names_recipe(text: str) -> bool:
    """Tells if a text is meant for a recipe, and not for the name of something else.

    Args:
      text: a path, a name, or either with :PART.

    Returns:
      True for what is a Python file by its name, and for the name of an installed recipe.
    """
    return re.search(r"\.py(:|$)", text) is not None or text.partition(":")[0] in packaged_recipes()


def summary(file: pathlib.Path) -> str:
    """Reads the summary of a recipe without running it.

    Args:
      file: the recipe file.

    Returns:
      The first line of its docstring.
    """
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]
