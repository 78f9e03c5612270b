"""Reads recipe files, Python files that make recipes, and changes single fields from the command line.

A recipe file has a function `get_config()` that takes `config.default_config()`, changes what differs and returns it,
or a function `get_configs()` that returns several such recipes by name. `--config.optimizer.learning_rate=1e-3` on the
command line changes single fields after that. While a recipe file runs, it can import what lies in its folder.
"""

import ast
import contextlib
import importlib
import pathlib
import re
import runpy
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.files.local_path import local_path
from motion_vit.files.regular_file import open_regular_file
from motion_vit.training.recipe.config import config_from_dict, flatten, set_field
from motion_vit.training.recipe.packaged import recipe_file

OVERRIDE_PREFIX = "--config."
_LONGEST_ERROR = 200  # letters of an error of a recipe's own code


def load_config(path: str, overrides: Sequence[str] = ()) -> ConfigDict:
    """Reads a recipe and changes single fields.

    Args:
      path: a Python file that defines `get_config()`, or FILE:NAME for one of the recipes of `get_configs()`, or the
        name of an installed recipe; see `packaged_recipes`.
      overrides: arguments of the form `--config.key=value`; a value is a Python literal, or text for text fields.

    Returns:
      The recipe, with every field of `default_config()`.

    Raises:
      UserError: the file is missing or does not make a recipe, a field is unknown, or a value has the wrong type.
    """
    path = recipe_file(path)
    file, _, name = path.rpartition(":")
    if file.endswith(".py"):
        recipes = load_configs(file, overrides)
        if name not in recipes:
            raise UserError(f"{file} has no recipe {name!r}. It has: {', '.join(recipes)}.")
        return recipes[name]
    return _overridden(_checked_recipe(path, "get_config()", _run_recipe(path, "get_config")), overrides)


def load_configs(path: str, overrides: Sequence[str] = ()) -> dict[str, ConfigDict]:
    """Reads several recipes from one file, and changes single fields of all.

    Args:
      path: a Python file that defines `get_configs()`, which returns a mapping of names to recipes, or the name of an
        installed one.
      overrides: as for `load_config`.

    Returns:
      Name -> recipe, in the file's order.

    Raises:
      UserError: as `load_config`, or a name is not usable as a folder name.
    """
    path = recipe_file(path)
    recipes = _run_recipe(path, "get_configs")
    if not isinstance(recipes, Mapping) or not recipes:
        raise UserError(f"get_configs() of {path} returns {recipes!r}, but must return a mapping of names to recipes.")
    for name in recipes:
        if not isinstance(name, str) or not re.fullmatch(r"\w[\w.+-]*", name):
            raise UserError(
                f"get_configs() of {path} names a recipe {name!r}, but names are made of letters, digits and _ . + -, "
                "because folders are called by them."
            )
    return {
        name: _overridden(_checked_recipe(path, f"get_configs()[{name!r}]", config), overrides)
        for name, config in recipes.items()
    }


def _overridden(config: ConfigDict, overrides: Sequence[str]) -> ConfigDict:
    for override in overrides:
        key, value = _split_override(override)
        set_field(config, key, _parse_value(config, key, value))
    return config


def _run_recipe(path: str, function: str) -> Any:
    """Returns the result of a function of a recipe file."""
    try:
        open_regular_file(local_path(path)).close()
    except FileNotFoundError:
        raise UserError(
            f"there is no config file {path}. Recipes are Python files; `motion-vit recipe list` names those that are "
            "installed, which --config takes by name."
        ) from None
    except OSError as error:
        raise UserError(f"the config file {path} cannot be read: {error.strerror or error}.") from error
    try:
        with _importable(pathlib.Path(path).resolve().parent):
            functions = runpy.run_path(path)
            if function not in functions:
                raise UserError(f"{path} defines no function {function}(){_instead(path, functions)}.")
            return functions[function]()
    except UserError:
        raise
    except SystemExit as error:
        raise UserError(
            f"the config file {path} calls sys.exit({error.code!r}) in place of making a recipe."
        ) from error
    except Exception as error:
        raise UserError(f"the config file {path} fails: {_sentence(error)}") from error


@contextlib.contextmanager
def _importable(folder: pathlib.Path) -> Iterator[None]:
    """Lets a recipe import what lies beside it while it runs, as Python lets a script."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()  # of files that were written a moment ago
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the recipe may have changed the list itself
            sys.path.remove(str(folder))


def _instead(path: str, functions: Mapping[str, Any]) -> str:
    """Suggests how to use a file that makes one recipe where several are requested, or the other way round."""
    if "get_configs" in functions:
        names = ", ".join(map(str, functions["get_configs"]()))
        return f", but several recipes. Give one of them as {path}:NAME, with a NAME of {names}"
    if "get_config" in functions:
        return (
            f", but a single recipe. Give it as {path}, without a :NAME, where one recipe is taken, as `motion-vit "
            "train` does; to compare recipes, write get_configs(), which returns several by name"
        )
    return ", which a recipe must"


def _checked_recipe(path: str, source: str, config: Any) -> ConfigDict:
    """Checks a recipe and completes it with every default field."""
    if not isinstance(config, ConfigDict):
        raise UserError(f"{source} of {path} returns {type(config).__name__}, but must return a ConfigDict.")
    try:
        return config_from_dict(config.to_dict())
    except UserError as error:
        raise UserError(f"the config file {path}: {error}") from error


def _sentence(error: Exception) -> str:
    """Returns the beginning of a recipe's error: ConfigDict adds a dump of all its fields."""
    text = str(error.args[0]) if error.args else ""
    first = text.strip().splitlines()[0] if text.strip() else "no message"
    return f"{type(error).__name__}: {textwrap.shorten(first, _LONGEST_ERROR, placeholder=' ...')}"


def _split_override(override: str) -> tuple[str, str]:
    key, equals, value = override.removeprefix(OVERRIDE_PREFIX).partition("=")
    if not override.startswith(OVERRIDE_PREFIX) or not equals or not key:
        raise UserError(f"{override!r} is not understood; a field is changed as {OVERRIDE_PREFIX}key=value.")
    return key, value


def _parse_value(config: ConfigDict, key: str, text: str) -> Any:
    known = flatten(config).get(key)
    if isinstance(known, str):
        return text
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # the last three of nested brackets
        return text
