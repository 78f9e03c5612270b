"""A run as tracking services know it: its name, its recipe, and the id that a service gave it."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from motion_vit.files.atomic_file import write_text
from motion_vit.files.json_file import read_json

TRACKING_FILE = "tracking.json"
"""File of the workdir with the id of the run for each service, by which a run that is continued is one run there."""

_ID = re.compile(r"[\w-]{1,128}", re.ASCII)


@dataclasses.dataclass(frozen=True)
class TrackedRun:
    """A run.

    Attributes:
      workdir: its folder.
      name: name that people see.
      config: the recipe, nested, of values that JSON has.
    """

    workdir: pathlib.Path
    name: str
    config: Mapping[str, Any]

    def id_of(self, service: str) -> str:
        """Reads the id of the run.

        Args:
          service: name of the service.

        Returns:
          The id; "" where there is none yet, or the file is damaged.
        """
        found = self._ids().get(service)
        return found if isinstance(found, str) and _ID.fullmatch(found) else ""

    def keep_id(self, service: str, run_id: str) -> None:
        """Writes down the id of the run.

        Args:
          service: name of the service.
          run_id: the id there.

        Raises:
          UnwritableError: the file cannot be written.
        """
        write_text(self.workdir / TRACKING_FILE, json.dumps({**self._ids(), service: run_id}, indent=1) + "\n")

    def _ids(self) -> dict[str, Any]:
        try:
            values = read_json(self.workdir / TRACKING_FILE)
        except (OSError, ValueError):
            return {}  # the file is a convenience: without it the service has a second run
        return values if isinstance(values, dict) else {}
