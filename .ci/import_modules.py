"""Imports every module of motion_vit with warnings as errors, except those that need an extra that is not installed.

Run by `.ci/smoke` as `python -W error import_modules.py EXTRA...`: the arguments are the modules that extras bring.
"""

import importlib
import pkgutil
import sys

import motion_vit


def main(extras: set[str]) -> None:
    """Imports the modules and prints how many there are.

    Args:
      extras: top-level modules that may be missing.

    Raises:
      ImportError: a module cannot be imported for another reason than such a missing module.
    """
    imported, waiting = 0, []
    for module in pkgutil.walk_packages(motion_vit.__path__, "motion_vit."):
        try:
            importlib.import_module(module.name)
            imported += 1
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] not in extras:
                raise
            waiting.append(f"{module.name} ({error.name})")
    print(f"imported {imported} modules; {len(waiting)} need an extra: {', '.join(waiting) or 'none'}")


if __name__ == "__main__":
    main(set(sys.argv[1:]))
