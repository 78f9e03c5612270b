"""The pages of docs/extending, taken apart: the files that they add, the changes that they make, and their programs."""

import pathlib
import re
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "extending"

_FILE = re.compile(r"^`([\w./-]+\.(?:py|toml))`:\n\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_DIFF = re.compile(r"^```diff\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PROGRAM = re.compile(r"(?<!`:\n\n)^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def page_files(page: str) -> dict[str, str]:
    """Reads the new files of a page.

    Args:
      page: its name, such as "model".

    Returns:
      Path -> text.
    """
    return dict(_FILE.findall(_text(page)))


def page_diffs(page: str) -> list[str]:
    """Reads the changes that a page makes to files that are there."""
    return _DIFF.findall(_text(page))


def page_programs(page: str) -> list[str]:
    """Reads the programs of a page that are no files."""
    return _PROGRAM.findall(_text(page))


def write_page_files(page: str, root: pathlib.Path) -> list[pathlib.Path]:
    """Writes the new files of a page, and installs its package, if it adds one, as pip does.

    Args:
      page: its name.
      root: folder that the paths are relative to, and that Python is to find packages in.

    Returns:
      The files.

    Raises:
      AssertionError: a file is there already.
    """
    files = []
    for path, text in page_files(page).items():
        file = root / path
        assert not file.exists()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        files.append(file)
        if file.name == "pyproject.toml":
            _install(tomllib.loads(text)["project"], root)
    return files


def _install(project: dict, root: pathlib.Path) -> None:
    """Writes what an installed package says about itself."""
    metadata = root / f"{project['name']}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in names.items())])
        for group, names in project["entry-points"].items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(groups))


def _text(page: str) -> str:
    return (PAGES / f"{page}.md").read_text(encoding="utf-8")
