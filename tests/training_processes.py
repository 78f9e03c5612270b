"""Starts `motion-vit train` with the small recipe, in one process or several that train together."""

import os
import pathlib
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

import jax

RECIPE = pathlib.Path(__file__).with_name("small_recipe.py")
DEVICES = 8
HEARTBEAT = "TEST_HEARTBEAT_SECONDS"
"""Environment variable: how soon a process that has ended is missed by the others."""
FILE_SIZE = "TEST_FILE_SIZE"
"""Environment variable: bytes from which on the system refuses to write a file, as it does on a full disk."""
_STEP = re.compile(r"^step (\d+)/", re.MULTILINE)
_PROGRAM = "import sys; from motion_vit.cli import main; sys.exit(main())"


def start(
    processes: int, workdir: pathlib.Path, fields: Mapping[str, object], environment: Mapping[str, str] | None = None
) -> list[subprocess.Popen[str]]:
    """Starts a run.

    Args:
      processes: how many; they share eight virtual CPU devices.
      workdir: folder of the run.
      fields: fields of the recipe that are set; `{process}` in a value stands for the number of the process.
      environment: variables besides those of this process.

    Returns:
      The processes. Standard output and standard error of each go to `output` and `errors` and its number in the
      workdir.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    overrides = [f"--config.{name}={value}" for name, value in fields.items()]
    command = [sys.executable, "-c", _PROGRAM, "train", "--config", str(RECIPE), "--workdir", str(workdir), *overrides]
    flags = re.sub(r"--xla_force_host_platform_device_count=\d+", "", os.environ.get("XLA_FLAGS", ""))
    shared = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count={DEVICES // processes}",
        # What the processes of a run, and the runs of a test, compile is the same.
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir or str(workdir.parent / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.3",
        **(environment or {}),
    }
    if processes > 1:
        shared |= {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{_free_port()}", "JAX_NUM_PROCESSES": str(processes)}
    started = []
    for number in range(processes):
        files = (workdir / f"{name}{number}.log" for name in ("output", "errors"))
        with next(files).open("a") as output, next(files).open("a") as errors:
            variables = {**shared, "JAX_PROCESS_ID": str(number)} if processes > 1 else shared
            arguments = [argument.replace("{process}", str(number)) for argument in command]
            started.append(subprocess.Popen(arguments, env=variables, stdout=output, stderr=errors, text=True))
    return started


def end(processes: Sequence[subprocess.Popen[str]], seconds: float = 120) -> list[int]:
    """Waits for processes; those that do not end in time are killed, which is an error.

    Args:
      processes: of `start`.
      seconds: how long.

    Returns:
      Their statuses.
    """
    try:
        return [process.wait(seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()


def wait_for_step(workdir: pathlib.Path, step: int, printed: int = 0, seconds: float = 120) -> None:
    """Waits until a run has printed a step.

    Args:
      workdir: folder of the run.
      step: number of the step.
      printed: characters that it had printed before it was started this time.
      seconds: how long.

    Raises:
      TimeoutError: it has not.
    """
    limit = time.monotonic() + seconds
    while not any(int(number) >= step for number in _STEP.findall(text_of(workdir, "output0")[printed:])):
        if time.monotonic() > limit:
            raise TimeoutError(f"{workdir} does not reach step {step}")
        time.sleep(0.02)


def text_of(workdir: pathlib.Path, name: str) -> str:
    """What a run has printed.

    Args:
      workdir: folder of the run.
      name: such as `output0`.

    Returns:
      The text.
    """
    return (workdir / f"{name}.log").read_text(encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])
