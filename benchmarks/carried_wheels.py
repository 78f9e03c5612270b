"""Downloads the wheels of small packages for a machine without a network, to be carried there in a folder.

    python benchmarks/carried_wheels.py --out wheels                       # all that accelerator_run.py imports
    python benchmarks/carried_wheels.py --out wheels 'flax>=0.12.7' rich   # what the run said is missing there
    python -m pip install --no-index --no-deps --target site wheels/*.whl && export PYTHONPATH=site       # there

Takes wheels alone, for Linux on x86-64 and the given Python, without what they require in turn. The list names all of
that but JAX, NumPy and PyTorch: with their libraries these are too large to carry, and must be there.
"""

import argparse
import pathlib
import subprocess
import sys

from accelerator_packages import CARRIED

PLATFORMS = ("manylinux2014_x86_64", *(f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17, 12, 5)))
LIMIT_MEGABYTES = 64.0


def download_command(python: str, folder: pathlib.Path, requirements: list[str]) -> list[str]:
    """Returns the command of pip that downloads wheels.

    Args:
      python: version there, such as "3.12".
      folder: where to put them.
      requirements: as pip takes them.
    """
    target = ["--only-binary=:all:", "--no-deps", "--implementation", "cp", "--python-version", python]
    platforms = [argument for platform in PLATFORMS for argument in ("--platform", platform)]
    return [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        *target,
        *platforms,
        "--dest",
        str(folder),
        *requirements,
    ]


def main() -> None:
    """Reads the command line, downloads, and prints the sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = [f"{package.name}>={package.lowest}" if package.lowest else package.name for package in CARRIED]
    parser.add_argument("requirements", nargs="*", default=every, help="packages, by default all small ones")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder to put them into")
    parser.add_argument("--python", default="3.12", help="version of Python on the other machine")
    parser.add_argument("--limit", type=float, default=LIMIT_MEGABYTES, help="MB that can be carried")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if status := subprocess.run(
        download_command(options.python, options.out, options.requirements), check=False
    ).returncode:
        sys.exit(f"pip ended with status {status}: see above; is there a wheel for Python {options.python} on Linux?")
    wheels = sorted(options.out.glob("*.whl"))
    for wheel in wheels:
        print(f"{wheel.stat().st_size / 1e6:8.2f} MB  {wheel.name}")
    total = sum(wheel.stat().st_size for wheel in wheels) / 1e6
    print(f"{total:8.2f} MB in {len(wheels)} wheels")
    if total > options.limit:
        sys.exit(f"{total:.1f} MB are more than the {options.limit:.0f} MB that can be carried: name fewer packages")


if __name__ == "__main__":
    main()
