"""Packages of the distribution, and its description; everything else about it is in pyproject.toml.

The recipes stand in `configs/`, where people read and edit them, and are installed as `motion_vit.recipes`. The
description is README.md, whose links are relative, so that they work in a clone; on PyPI they lead to the repository.
"""

import pathlib
import re
import tomllib
import urllib.parse

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).resolve().parent

# What stands before the target of a picture, and of any link, and the target.
PICTURE = re.compile(r"(!\[[^]]*\]\()([^)\s]+)")
LINK = re.compile(r"(\]\()([^)\s]+)")


def description(readme: str, repository: str) -> str:
    """Makes the links of README.md absolute: pictures lead to the file itself, others to the page that shows it."""
    raw = repository.replace("https://github.com/", "https://raw.githubusercontent.com/")
    for pattern, page in ((PICTURE, f"{raw}/main/README.md"), (LINK, f"{repository}/blob/main/README.md")):
        readme = pattern.sub(lambda match, page=page: match[1] + urllib.parse.urljoin(page, match[2]), readme)
    return readme


project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

setup(
    long_description=description((ROOT / "README.md").read_text(encoding="utf-8"), project["urls"]["Repository"]),
    long_description_content_type="text/markdown",
    packages=[
        *find_packages(include=["motion_vit", "motion_vit.*"]),
        "motion_vit.recipes",
        # Folders of data alone, which would not be found.
        "motion_vit.checkpoints.demo",
        "motion_vit.interop.exporting.page",
        "motion_vit.serving.page",
        "motion_vit.visualization.page",
        "motion_vit.zoo.labels",
    ],
    package_dir={"motion_vit.recipes": "configs"},
)
