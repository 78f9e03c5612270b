"""Packages of the distribution; everything else about it is in pyproject.toml.

The recipes stand in `configs/`, where people read and edit them, and are installed as `motion_vit.recipes`.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["motion_vit", "motion_vit.*"]),
        "motion_vit.recipes",
        # Folders of data alone, which would not be found.
        "motion_vit.checkpoints.demo",
        "motion_vit.visualization.page",
    ],
    package_dir={"motion_vit.recipes": "configs"},
)
