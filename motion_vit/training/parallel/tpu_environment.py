"""Environment variables for libtpu on machines without a TPU, where only its compiler is used."""

import importlib.util
import os
import pathlib

# Without these, libtpu would wait for Google Cloud's metadata server and complain that it does not answer. It also
# locks the TPU of a machine that has one. A compiler alone needs no lock, and a training may go on there.
_WITHOUT_TPU = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",  # read, but of no consequence: the topology is named to the compiler
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_MIN_LOG_LEVEL": "3",
    "TPU_STDERR_LOG_LEVEL": "3",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


def has_tpu() -> bool:
    """Tells if TPU chips are attached to this machine and their driver package is installed."""
    return _has_chips() and importlib.util.find_spec("libtpu") is not None


def expect_no_tpu() -> None:
    """Tells libtpu, before it is loaded, that only its compiler is needed. Variables that are set are kept."""
    for variable, value in _WITHOUT_TPU.items():
        os.environ.setdefault(variable, value)


def quiet_absent_tpu() -> None:
    """Silences libtpu's complaints about a missing TPU, which JAX looks for where no platform is named.

    Where one is named, or JAX is told to insist on a TPU, libtpu's messages are useful and stay.
    """
    asked_for = "JAX_PLATFORMS" in os.environ or "JAX_FORCE_TPU_INIT" in os.environ
    if not asked_for and importlib.util.find_spec("libtpu") is not None and not _has_chips():
        expect_no_tpu()


def _has_chips() -> bool:
    devices = pathlib.Path("/dev")
    return any(devices.glob("accel[0-9]*")) or any(devices.glob("vfio/[0-9]*"))
