"""Commands that the launch scripts call, replaced by scripts of the tests."""

import os
import pathlib


def write_command(folder: pathlib.Path, name: str, lines: str) -> pathlib.Path:
    """Writes a bash script as a command.

    Args:
      folder: where it is put; a folder for PATH.
      name: its name.
      lines: what it does.

    Returns:
      Its path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/usr/bin/env bash\n{lines}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def environment(folder: pathlib.Path, **variables: str) -> dict[str, str]:
    """The environment of tests without what is JAX's, CUDA's or SLURM's, and with a folder of commands before others.

    Args:
      folder: those commands.
      **variables: further variables.

    Returns:
      For `subprocess`.
    """
    foreign = ("JAX_", "XLA_FLAGS", "SLURM_", "CUDA_VISIBLE_DEVICES")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", **variables}


HOSTILE_NAMES = ("two words", "$(touch owned)", "`touch owned`", "it's", 'a "b"', "x; touch owned", "-x & y", "*", "#a")
"""Names of files that a shell would take for something else."""
