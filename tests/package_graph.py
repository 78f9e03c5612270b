"""Reads which packages of the library import which; `python tests/package_graph.py` prints it.

A package is a folder of `motion_vit`, named without that prefix: `training.step`. Modules beside the packages, such as
`errors`, stand for themselves, and "" is what the library itself exports.
"""

import ast
import collections
import functools
import pathlib
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "motion_vit"


def package_of(path: pathlib.Path) -> str:
    """Names the package that a file of the library belongs to.

    Args:
      path: the file.
    """
    relative = path.relative_to(LIBRARY)
    if len(relative.parts) > 1:
        return ".".join(relative.parent.parts)
    return "" if relative.name == "__init__.py" else relative.stem


@functools.cache
def library_files() -> tuple[pathlib.Path, ...]:
    """Lists the files of the library."""
    return tuple(sorted(LIBRARY.rglob("*.py")))


@functools.cache
def imported_names(path: pathlib.Path) -> tuple[str, ...]:
    """Lists what a file imports, anywhere in it: dotted names, of which the last part may be no module.

    Args:
      path: the file.

    Raises:
      AssertionError: it has a relative import.
    """
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.relative_to(ROOT)} has a relative import"
            assert node.module is not None
            names.extend(f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(names)


def imported_packages(path: pathlib.Path) -> Iterator[str]:
    """Lists the packages of the library that a file imports from, its own one included.

    Args:
      path: the file.
    """
    for name in imported_names(path):
        first, *parts = name.split(".")
        if first != LIBRARY.name:
            continue
        while parts and not LIBRARY.joinpath(*parts).is_dir():
            if len(parts) == 1 and (LIBRARY / f"{parts[0]}.py").is_file():
                break
            parts.pop()
        yield ".".join(parts)


def package_graph() -> dict[str, set[str]]:
    """Maps each package to the other packages that it imports."""
    graph: dict[str, set[str]] = collections.defaultdict(set)
    for path in library_files():
        package = package_of(path)
        graph[package] |= set(imported_packages(path)) - {package}
    return dict(graph)


if __name__ == "__main__":
    for importer, imported in sorted(package_graph().items()):
        print(f"{importer or 'motion_vit'} -> {', '.join(sorted(imported - {'', 'errors'})) or 'nothing'}")
