"""The packages that `accelerator_run.py` needs, and those of them that a machine lacks; imports none of them."""

import importlib.metadata
import importlib.util
import re
from collections.abc import Iterable
from typing import NamedTuple


class Package(NamedTuple):
    """A package.

    Attributes:
      name: on the package index.
      module: what is imported of it.
      lowest: version that is new enough; "" for any.
    """

    name: str
    module: str
    lowest: str = ""


CARRIED = (
    Package("flax", "flax", "0.12.7"),
    Package("optax", "optax", "0.2.8"),
    Package("jaxtyping", "jaxtyping", "0.3.2"),
    Package("safetensors", "safetensors", "0.5"),
    # What these import.
    Package("absl-py", "absl", "2.3"),
    Package("etils", "etils"),
    Package("markdown-it-py", "markdown_it"),
    Package("mdurl", "mdurl"),
    Package("msgpack", "msgpack"),
    Package("pygments", "pygments"),
    Package("pyyaml", "yaml"),
    Package("rich", "rich"),
    Package("typing-extensions", "typing_extensions"),
    Package("wadler-lindig", "wadler_lindig"),
)
"""Small ones, which can be carried as wheels to a machine without a network; see `carried_wheels.py`."""

JAX = (Package("jax", "jax", "0.10.2"), Package("jaxlib", "jaxlib", "0.10.2"), Package("numpy", "numpy", "2"))
CUDA_PLUGINS = (
    Package("jax-cuda13-plugin", "jax_plugins.xla_cuda13"),
    Package("jax-cuda12-plugin", "jax_plugins.xla_cuda12"),
)
"""One of them runs JAX's programs on a GPU; with NVIDIA's libraries it is about 3 GB."""
TORCH = (Package("torch", "torch", "2.4"),)
COMPILES_TORCH = (Package("triton", "triton"),)
"""What `torch.compile` needs on a GPU."""


def is_there(package: Package) -> bool:
    """Tells if a package is installed, in any version."""
    try:
        return importlib.util.find_spec(package.module) is not None
    except ModuleNotFoundError:  # its parent is missing
        return False


def version(package: Package) -> str | None:
    """Returns the version of an installed package; None if it is not installed, or does not say."""
    try:
        return importlib.metadata.version(package.name)
    except importlib.metadata.PackageNotFoundError:
        return None


def lacking(packages: Iterable[Package]) -> list[str]:
    """Lists the packages that are missing or too old, as requirements that pip takes."""
    return [
        f"{package.name}>={package.lowest}" if package.lowest else package.name
        for package in packages
        if not is_there(package) or not _is_new_enough(version(package), package.lowest)
    ]


def _is_new_enough(found: str | None, lowest: str) -> bool:
    return not found or not lowest or _numbers(found) >= _numbers(lowest)


def _numbers(text: str) -> list[int]:
    found = re.match(r"[\d.]*", text)
    return [int(part) for part in found.group().split(".") if part] if found else []
