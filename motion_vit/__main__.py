"""Runs the command line as `python -m motion_vit`, where the command `motion-vit` is not on the path."""

import sys

from motion_vit.cli import main

if __name__ == "__main__":
    sys.exit(main())
