"""Feeds the library hostile and damaged inputs, in processes whose time and memory are watched.

Command:  make fuzz, or with another seed and number of inputs make fuzz SEED=7 INPUTS=500

Prints a table of what became of the inputs of each kind, and each failure with what makes it again. Exit status 1
after a failure: an exception that is no message for people, more than 20 s of the processor, more than 2 GiB, or damage
that went unnoticed. Ctrl-C ends it with the table of what was tried.
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import re
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

from hostile_inputs import KINDS, write_input

HERE = pathlib.Path(__file__).resolve().parent
SECONDS = 20.0
"""More time of the processor than this is a hang."""
WAITING_SECONDS = 100.0
"""And so is more time in all, of a process that waits, or of one that shares its processor with others."""
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
      seconds: that it took.
    """

    kind: str
    seed: int
    outcome: str
    message: str
    seconds: float


class Reader:
    """A process that reads inputs; it is started anew after it had to be ended.

    Args:
      good: of `good_inputs.write_good_inputs`.
    """

    def __init__(self, good: pathlib.Path) -> None:
        self._good = good
        self._process: subprocess.Popen[str] | None = None
        self._base = 0
        self._used = 0.0

    def read(self, kind: str, path: pathlib.Path) -> tuple[str, str]:
        """Has an input read.

        Args:
          kind: of the input.
          path: where it is.

        Returns:
          Outcome and message.
        """
        self.start()
        process = self._process
        assert process is not None
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

    def start(self) -> None:
        """Starts the process, unless it runs, and begins to measure the memory and time that it takes.

        Raises:
          RuntimeError: it does not start.
        """
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, HERE / "hostile_reader.py", self._good],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=child_environment(),
            )
            assert self._process.stdout is not None
            if self._process.stdout.readline() != "ready\n":
                raise RuntimeError(f"hostile_reader.py {self._good} does not start")
        # The peak is measured from here.
        pathlib.Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")
        self._base = _memory(self._process.pid, "VmRSS")
        self._used = _processor_seconds(self._process.pid)

    def _answer(self, process: "subprocess.Popen[str]") -> tuple[str, str]:
        assert process.stdout is not None
        end = time.monotonic() + WAITING_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not selector.select(0.02):
                if time.monotonic() > end or _processor_seconds(process.pid) - self._used > SECONDS:
                    self.close()
                    return "hang", f"more than {SECONDS:g} s of the processor, or {WAITING_SECONDS:g} s in all"
                if _memory(process.pid, "VmRSS") - self._base > BYTES:
                    self.close()
                    return "bomb", f"more than {BYTES / 2**30:g} GiB"
        line = process.stdout.readline()
        if not line:
            self.close()
            return "died", "the process ended"
        outcome, message = json.loads(line)
        if _memory(process.pid, "VmHWM") - self._base > BYTES:
            return "bomb", f"more than {BYTES / 2**30:g} GiB for a moment; {outcome}: {message}"
        return outcome, message


def _memory(process: int, field: str) -> int:
    try:
        status = pathlib.Path(f"/proc/{process}/status").read_text()
    except OSError:  # it has ended
        return 0
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    return 1024 * int(found[1]) if found else 0


def _processor_seconds(process: int) -> float:
    try:
        fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fuzz(seed: int, inputs: int, good: pathlib.Path) -> Iterator[Finding]:
    """Feeds inputs of all kinds in turn.

    Args:
      seed: fixes the inputs.
      inputs: number of them.
      good: of `good_folder`.

    Yields:
      A finding for each.
    """
    kinds = list(KINDS)
    with contextlib.closing(Reader(good)) as reader:
        for number in range(inputs):
            kind, of_input = kinds[number % len(kinds)], seed * 10**6 + number
            with tempfile.TemporaryDirectory() as folder:
                path = write_input(kind, of_input, pathlib.Path(folder), good)
                reader.start()
                started = time.monotonic()
                answer = reader.read(kind, path)
                yield Finding(kind, of_input, *answer, time.monotonic() - started)


def child_environment() -> dict[str, str]:
    """Gives the environment of the processes that read hostile inputs: one CPU device, and the tests' modules."""
    folders = [HERE, HERE.parent, HERE.parents[1], os.environ.get("PYTHONPATH", "")]
    flags = re.sub(r"--xla_force_host_platform_device_count=\d+", "", os.environ.get("XLA_FLAGS", ""))
    path = os.pathsep.join(map(str, folders))
    return os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": path, "XLA_FLAGS": flags}


@contextlib.contextmanager
def good_folder() -> Iterator[pathlib.Path]:
    """Writes the good inputs; a process of its own does, so that this one stays small.

    Yields:
      A folder that is removed in the end.
    """
    with tempfile.TemporaryDirectory(prefix="motion_vit_fuzz_") as folder:
        code = "import pathlib, sys, good_inputs; good_inputs.write_good_inputs(pathlib.Path(sys.argv[1]))"
        subprocess.run(
            [sys.executable, "-c", code, folder], check=True, stdout=subprocess.DEVNULL, env=child_environment()
        )
        yield pathlib.Path(folder)


def table(findings: list[Finding]) -> str:
    """Counts outcomes by kind.

    Args:
      findings: of `fuzz`.

    Returns:
      Lines of text.
    """
    counts = collections.Counter((finding.kind, finding.outcome) for finding in findings)
    rows = [("kind", "tried", *OUTCOMES, "longest")]
    for kinds in (*([kind] for kind in KINDS), list(KINDS)):
        numbers = [sum(counts[kind, outcome] for kind in kinds) for outcome in OUTCOMES]
        longest = max((finding.seconds for finding in findings if finding.kind in kinds), default=0.0)
        rows.append((kinds[0] if len(kinds) == 1 else "all", str(sum(numbers)), *map(str, numbers), f"{longest:.1f} s"))
    return "\n".join(row[0].ljust(17) + "".join(cell.rjust(8) for cell in row[1:]) for row in rows)


def main() -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the time by default")
    parser.add_argument("--inputs", type=int, default=2000)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    findings = []
    with contextlib.suppress(KeyboardInterrupt), good_folder() as good:
        for finding in fuzz(options.seed, options.inputs, good):
            findings.append(finding)
            if finding.outcome in FAILURES:
                call = f"write_input({finding.kind!r}, {finding.seed}, folder, good)"
                print(f"{finding.outcome}: {call}\n{finding.message}", flush=True)
    print(table(findings))
    return 1 if any(finding.outcome in FAILURES for finding in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
