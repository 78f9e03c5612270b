"""Packages that add models and motion modules to the library: how they are found without a file naming them."""

import importlib.metadata

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
