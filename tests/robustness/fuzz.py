"""Feeds the library hostile and damaged inputs, in processes whose time and memory are watched.

Command:  make fuzz, or with another seed and number of inputs make fuzz SEED=7 INPUTS=500

Prints a table of what became of the inputs of each kind, and each failure with what makes it again. Exit status 1
after a failure: an exception that is no message for people, more than 20 s, more than 2 GiB, or damage that went
unnoticed.
"""

import argparse
import collections
import json
import os
import pathlib
import selectors
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from hostile_inputs import KINDS, write_input

HERE = pathlib.Path(__file__).resolve().parent
SECONDS = 20.0
"""Longer than this is a hang."""
BYTES = 2 * 2**30
"""More memory than this, over what the process had before, is a bomb."""
FAILURES = ("wrong", "silent", "hang", "bomb", "died")
OUTCOMES = ("taken", "clear", *FAILURES)


class Finding(NamedTuple):
    """What became of an input.

    Attributes:
      kind: of the input.
      seed: with which `write_input` makes it again.
      outcome: one of `OUTCOMES`.
      message: of the library, or where it failed.
    """

    kind: str
    seed: int
    outcome: str
    message: str


class Reader:
    """A process that reads inputs; it is started anew after it had to be ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._base = 0

    def read(self, kind: str, path: pathlib.Path) -> tuple[str, str]:
        """Has an input read.

        Args:
          kind: of the input.
          path: where it is.

        Returns:
          Outcome and message.
        """
        process = self._running()
        assert process.stdin is not None
        print(json.dumps([kind, str(path)]), file=process.stdin, flush=True)
        return self._answer(process)

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()
            self._process = None

    def _running(self) -> "subprocess.Popen[str]":
        if self._process is None:
            path = os.pathsep.join([str(HERE.parent), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
            self._process = subprocess.Popen(
                [sys.executable, HERE / "hostile_reader.py"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=os.environ | {"PYTHONPATH": path},
            )
            with tempfile.TemporaryDirectory() as folder:  # imports, and the first trace
                good = pathlib.Path(folder) / "fields.json"
                good.write_text("{}")
                assert self._process.stdin is not None
                print(json.dumps(["recipe", str(good)]), file=self._process.stdin, flush=True)
                assert self._process.stdout is not None
                self._process.stdout.readline()
            self._base = _resident_bytes(self._process.pid)
        return self._process

    def _answer(self, process: "subprocess.Popen[str]") -> tuple[str, str]:
        assert process.stdout is not None
        end = time.monotonic() + SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not selector.select(0.02):
                if time.monotonic() > end:
                    self.close()
                    return "hang", f"more than {SECONDS:g} s"
                if _resident_bytes(process.pid) - self._base > BYTES:
                    self.close()
                    return "bomb", f"more than {BYTES / 2**30:g} GiB"
        line = process.stdout.readline()
        if not line:
            self.close()
            return "died", "the process ended"
        outcome, message = json.loads(line)
        return outcome, message


def _resident_bytes(process: int) -> int:
    try:
        pages = int(pathlib.Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):  # it has ended
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def fuzz(seed: int, inputs: int) -> list[Finding]:
    """Feeds inputs of all kinds in turn.

    Args:
      seed: fixes the inputs.
      inputs: number of them.

    Returns:
      A finding for each.
    """
    reader, findings, kinds = Reader(), [], list(KINDS)
    try:
        for number in range(inputs):
            kind, of_input = kinds[number % len(kinds)], seed * 10**6 + number
            with tempfile.TemporaryDirectory() as folder:
                path = write_input(kind, of_input, pathlib.Path(folder))
                findings.append(Finding(kind, of_input, *reader.read(kind, path)))
    finally:
        reader.close()
    return findings


def table(findings: list[Finding]) -> str:
    """Counts outcomes by kind.

    Args:
      findings: of `fuzz`.

    Returns:
      Lines of text.
    """
    counts = collections.Counter((finding.kind, finding.outcome) for finding in findings)
    rows = [("kind", "tried", *OUTCOMES)]
    for kind in KINDS:
        numbers = [counts[kind, outcome] for outcome in OUTCOMES]
        rows.append((kind, str(sum(numbers)), *map(str, numbers)))
    totals = [sum(counts[kind, outcome] for kind in KINDS) for outcome in OUTCOMES]
    rows.append(("all", str(sum(totals)), *map(str, totals)))
    return "\n".join(row[0].ljust(17) + "".join(cell.rjust(8) for cell in row[1:]) for row in rows)


def main() -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the time by default")
    parser.add_argument("--inputs", type=int, default=2000)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    findings = fuzz(options.seed, options.inputs)
    failures = [finding for finding in findings if finding.outcome in FAILURES]
    for finding in failures:
        print(f"{finding.outcome}: write_input({finding.kind!r}, {finding.seed}, folder)\n{finding.message}")
    print(table(findings))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
