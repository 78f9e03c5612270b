"""Reads recipe files, Python files that make recipes, and changes single fields from the command line.

A recipe file has a function `get_config()` that takes `config.default_config()`, changes what differs and returns it,
or a function `get_configs()` that returns several such recipes by name. Where `get_config` has a parameter, `FILE:ARG`
gives it the text ARG. `--config.optimizer.learning_rate=1e-3` on the command line changes single fields after that.
While a recipe file runs, it can import what lies in its folder.
"""

import ast
import contextlib
import importlib
import inspect
import os
import pathlib
import re
import runpy
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.files.local_path import local_path
from motion_vit.files.regular_file import open_regular_file
from motion_vit.ranges import shown
from motion_vit.training.recipe.config import config_from_dict, set_field, unknown_field
from motion_vit.training.recipe.fields import FIELDS
from motion_vit.training.recipe.packaged import recipe_file
from motion_vit.training.recipe.unknown_keys import unknown_key

OVERRIDE_PREFIX = "--config."
_LONGEST_ERROR = 200  # letters of an error of a recipe's own code


def load_config(path: str, overrides: Sequence[str] = ()) -> ConfigDict:
    """Reads a recipe and changes single fields.

    Args:
      path: a Python file that defines `get_config()`, `FILE:ARG` to call `get_config("ARG")`, `FILE:NAME` for one of
        the recipes of `get_configs()`, or the name of an installed recipe in place of FILE; see `packaged_recipes`.
      overrides: arguments of the form `--config.key=value`; a value is a Python literal, or text for text fields.

    Returns:
      The recipe, with every field of `default_config()`.

    Raises:
      UserError: the file is missing or does not make a recipe, takes no ARG or needs one, a field is unknown, or a
        value has the wrong type.
    """
    file, argument = split_argument(path)
    with _running(file) as functions:
        if "get_config" in functions and (argument is None or "get_configs" not in functions):
            source = "get_config()" if argument is None else f"get_config({argument!r})"
            config = _call(functions["get_config"], file, argument)
        elif argument is None:
            raise UserError(f"{file} defines no function get_config(){_instead(file, functions)}.")
        elif "get_configs" not in functions:
            raise UserError(f"{file} defines neither get_config() nor get_configs(), one of which a recipe must.")
        else:
            recipes = functions["get_configs"]()
            _check_names(recipes, file)
            if argument not in recipes:
                raise UserError(f"{file} has no recipe {argument!r}. It has: {', '.join(recipes)}.")
            source, config = f"get_configs()[{argument!r}]", recipes[argument]
    return _overridden(_checked_recipe(file, source, config), overrides)


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
    path, argument = split_argument(path)
    if argument is not None:
        raise UserError(
            f"{path}:{argument} names one recipe, but several are taken here: all that get_configs() of {path} "
            "returns. Leave out what follows the colon."
        )
    with _running(path) as functions:
        if "get_configs" not in functions:
            raise UserError(f"{path} defines no function get_configs(){_instead(path, functions)}.")
        recipes = functions["get_configs"]()
    _check_names(recipes, path)
    return {
        name: _overridden(_checked_recipe(path, f"get_configs()[{name!r}]", config), overrides)
        for name, config in recipes.items()
    }


def load_recipes(path: str, overrides: Sequence[str] = ()) -> dict[str, ConfigDict]:
    """Reads one or several recipes from a file, whichever it makes, and changes single fields of all.

    Args:
      path: as for `load_config`. All recipes of a file with `get_configs()` are taken where no ARG chooses one.
      overrides: as for `load_config`.

    Returns:
      Name -> recipe. A single one is called by ARG, or by the name of the file without its end.

    Raises:
      UserError: as `load_config` and `load_configs`.
    """
    file, argument = split_argument(path)
    with _running(file) as functions:
        several = argument is None and "get_configs" in functions
    if several:
        return load_configs(path, overrides)
    name = re.sub(r"[^\w.+-]+", "-", argument or pathlib.Path(file).stem).lstrip(".+-")
    return {name or "recipe": load_config(path, overrides)}


def with_overrides(config: ConfigDict, overrides: Sequence[str]) -> ConfigDict:
    """Changes single fields of a copy of a recipe.

    Args:
      config: stays as it is.
      overrides: as for `load_config`.

    Returns:
      The copy.

    Raises:
      UserError: a field is unknown, or a value has the wrong type.
    """
    return _overridden(config_from_dict(config.to_dict()), overrides)


def split_argument(path: str) -> tuple[str, str | None]:
    """Splits `FILE:ARG`, where FILE is a recipe file or the name of an installed recipe.

    Args:
      path: as for `load_config`. What exists as a file is one, colons and all, as is a path that begins with the
        letter of a drive.

    Returns:
      The file, which need not exist, and ARG or None.

    Raises:
      UserError: it can only be the name of an installed recipe, and there is none.
    """
    file = recipe_file(path)
    ends = [match.end() - 1 for match in re.finditer(r"\.py:", file)]
    if os.path.exists(file) or not ends:
        return file, None
    end = next((end for end in ends if os.path.exists(file[:end])), ends[0])
    return file[:end], file[end + 1 :]


def _check_names(recipes: Any, path: str) -> None:
    """Checks what get_configs() returns."""
    if not isinstance(recipes, Mapping) or not recipes:
        raise UserError(f"get_configs() of {path} returns {recipes!r}, but must return a mapping of names to recipes.")
    for name in recipes:
        if not isinstance(name, str) or not re.fullmatch(r"\w[\w.+-]*", name):
            raise UserError(
                f"get_configs() of {path} names a recipe {name!r}, but names are made of letters, digits and _ . + -, "
                "because folders are called by them."
            )


def _overridden(config: ConfigDict, overrides: Sequence[str]) -> ConfigDict:
    for override in overrides:
        key, value = _split_override(override)
        set_field(config, key, _parse_value(key, value))
    return config


@contextlib.contextmanager
def _running(path: str) -> Iterator[Mapping[str, Any]]:
    """Runs a recipe file, and provides what it defines; errors of the file, and of what is called then, are told."""
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
            yield runpy.run_path(path)
    except UserError:
        raise
    except SystemExit as error:
        raise UserError(
            f"the config file {path} calls sys.exit({error.code!r}) in place of making a recipe."
        ) from error
    except Exception as error:
        if key := unknown_key(error):
            raise UserError(f"the config file {path}: {unknown_field(key)}") from error
        raise UserError(f"the config file {path} fails{_place(error, path)}: {_sentence(error)}") from error


def _place(error: Exception, path: str) -> str:
    """Says in which line of the file an error arose, or which line called what it arose in; "" if none is known."""
    if isinstance(error, SyntaxError) and error.filename == path:
        line = error.lineno
    else:
        steps = traceback.extract_tb(error.__traceback__)
        line = next((step.lineno for step in reversed(steps) if step.filename == path), None)
    return f" in line {line}" if line else ""


def _call(get_config: Callable[..., Any], path: str, argument: str | None) -> Any:
    """Calls get_config() of a file, with the ARG of `FILE:ARG` or without, if it takes that."""
    given = () if argument is None else (argument,)
    signature = inspect.signature(get_config).replace(return_annotation=inspect.Signature.empty)
    try:
        signature.bind(*given)
    except TypeError as error:
        if argument is None:
            needed = [each for each in signature.parameters.values() if each.default is each.empty]
            raise UserError(
                f"get_config{signature} of {path} needs an argument. Give it as {path}:{needed[0].name.upper()}, with "
                "a text in place of that word."
            ) from error
        why = "cannot be called with one text alone" if signature.parameters else "takes none"
        raise UserError(
            f"{path} is given the argument {shown(argument)}, but its get_config{signature} {why}. Leave out what "
            "follows the colon, or give get_config one parameter."
        ) from error
    return get_config(*given)


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


def _parse_value(key: str, text: str) -> Any:
    if key in FIELDS and isinstance(FIELDS[key].default, str):
        return text
    if key == "notes" and not text.startswith("{"):
        return text
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # the last three of nested brackets
        return text
