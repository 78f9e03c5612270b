"""Reads hostile inputs, and tells which files and sockets Python opens; `test_isolation` runs it without sockets.

Arguments: the folder of `good_inputs.write_good_inputs`, and a file of JSON, a list of `[kind, path]`. Prints JSON: the
outcomes, and the files that were opened after the good inputs were read.
"""

import contextlib
import json
import os
import pathlib
import socket
import sys
from typing import Any

from hostile_reader import Reader
from small_network import register_small_network


def main() -> None:
    """Reads them."""
    register_small_network()
    reader = Reader(pathlib.Path(sys.argv[1]))
    opened: set[str] = set()

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            opened.add(os.path.realpath(os.fsdecode(arguments[0])))
        # A pair that is connected to itself, as asyncio makes, leads nowhere.
        pair = event == "socket.__new__" and arguments[1] == socket.AF_UNIX
        if event.startswith("socket.") and not pair and event != "socket.gethostname":
            opened.add(f"{event}{arguments}")

    outcomes = []
    with contextlib.redirect_stdout(sys.stderr):
        reader.warm_up()
        sys.addaudithook(note)
        for kind, path in json.loads(pathlib.Path(sys.argv[2]).read_text()):
            outcomes.append((kind, *reader.read(kind, pathlib.Path(path))))
    print(json.dumps({"outcomes": outcomes, "opened": sorted(opened)}))
