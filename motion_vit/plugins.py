"""Additions of other packages to the library: how they are found without a file naming them, and what they may be."""

import importlib.metadata
import inspect
import re
from collections.abc import Collection, Mapping
from typing import Any

from motion_vit.errors import UserError

GROUP = "motion_vit.plugins"
"""The entry point group in which an installed package names the modules that register what it adds."""

_loaded: set[str] = set()


def load_plugins() -> None:
    """Imports the modules that installed packages name in the entry point group `motion_vit.plugins`, each once.

    Only what a person installed is imported, never what a checkpoint or a recipe names.

    Raises:
      UserError: one of them cannot be imported.
    """
    for entry_point in importlib.metadata.entry_points(group=GROUP):
        if entry_point.value in _loaded:
            continue
        _loaded.add(entry_point.value)  # before the import, in which a plugin may look something up
        try:
            entry_point.load()
        except Exception as error:
            _loaded.remove(entry_point.value)
            raise UserError(
                f"the plugin {entry_point.value!r}, entry point {entry_point.name!r} of the group {GROUP}, cannot be "
                f"imported: {type(error).__name__}: {error}. Repair or uninstall its package."
            ) from error


def check_registration(
    kind: str, name: Any, definition: object, *, known: Mapping[str, object], own: Collection[str] = ()
) -> None:
    """Checks that a definition may be registered under a name.

    Args:
      kind: what a message calls it, such as "model".
      name: under which the library shall know it.
      definition: the class or function.
      known: what is registered already, by name. The same definition may be registered again.
      own: names of the library's own, which nothing replaces.

    Raises:
      UserError: the name is no name or taken.
    """
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.+-]*", name) or name.endswith(".py"):
        raise UserError(
            f"a {kind} is registered as {name!r}, but names are made of letters, digits and _ . + -, and do not end in "
            "'.py' as recipes do."
        )
    if name in own or (name in known and not is_redefinition(known[name], definition)):
        raise UserError(f"there is a {kind} {name!r} already. Register yours under another name.")


def takes(function: Any, /, *args: Any, **kwargs: Any) -> bool:
    """Tells if something can be called with such arguments, as far as its signature says.

    Args:
      function: what is to be called. Of what is no function, or has no signature to be read, it is False.
      *args: stand-ins for the arguments by position.
      **kwargs: stand-ins for the arguments by keyword.
    """
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return False
    return True


def is_redefinition(known: object, new: object) -> bool:
    """Tells if a class or function is another one defined again, by a notebook's cell or a recipe file that ran twice.

    Args:
      known: the one that was registered.
      new: the other one.
    """
    return _place(known) == _place(new)


def _place(definition: object) -> tuple[str, str]:
    kind = definition if hasattr(definition, "__qualname__") else type(definition)
    return kind.__module__, kind.__qualname__
