"""What every test shares: eight virtual CPU devices, strict JAX arithmetic, and the folder of real clips."""

import gc
import os
import pathlib
import signal
from collections.abc import Iterator

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# XLA's threads, by default as many as devices. On CPU a collective keeps one of each device waiting, and one beside a
# loop may run while one in the loop does: both would wait for ever. Read when JAX is imported.
os.environ.setdefault("NPROC", "32")
# A test may put something else in the place of a function of the library, which kept steps would not know of.
os.environ.setdefault("MOTION_VIT_KEEP_STEPS", "0")

import jax
import pytest
from jaxtyping import install_import_hook

CHECKS_TYPES = os.environ.get("MOTION_VIT_CHECK_TYPES") == "1"
if CHECKS_TYPES:
    # Before anything imports the library: modules that are imported already are not checked.
    install_import_hook("motion_vit", "type_checker.checked")

# The tests compile hundreds of programs and run each for milliseconds: without LLVM's optimisations, which XLA's own do
# not depend on, compiling takes less than half the time. XLA reads the flags when the first array is made.
FLAGS = ["--xla_force_host_platform_device_count=8", "--xla_backend_optimization_level=0"]
# Nor are programs cut into parts to be compiled side by side, which is more work in all: every core has tests to run.
FLAGS.append("--xla_cpu_parallel_codegen_split_count=1")
if jax.__version_info__ < (0, 12):
    # The older emitters of fused loops, which later versions have not, take half the time of the newer ones.
    FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *FLAGS])

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Tracing makes many small objects that live, next to modules and tests that stay to the end: with Python's own
# thresholds, looking for garbage among them takes up to a fifth of a test's time.
GARBAGE_THRESHOLDS = (10_000, 20, 50)

# What a shell runs in the background ignores Ctrl-C, and so would the processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["fast_cases", "file_times", "real_browser", "shared_traces"]

ROOT = pathlib.Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out the tests of what the library says of wrong arguments, where its annotations refuse these first."""
    if CHECKS_TYPES:
        items[:] = [item for item in items if item.get_closest_marker("mistyped") is None]


def pytest_collection_finish() -> None:
    """Takes what was imported and collected out of the garbage collector's view, and lets it look less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


@pytest.fixture(scope="session")
def shared_clips() -> pathlib.Path:
    """The folder of real video files beside the checkout; tests that need it skip where it is absent."""
    folder = ROOT.parent / "shared" / "clips"
    if not folder.is_dir():
        pytest.skip("the folder ../shared/clips with real videos is not beside this checkout")
    return folder


@pytest.fixture
def uncached() -> Iterator[None]:
    """Keeps programs for devices that are not there out of JAX's cache, which cannot read them again without these."""
    name = "jax_persistent_cache_min_compile_time_secs"
    seconds = getattr(jax.config, name)
    jax.config.update(name, float("inf"))
    yield
    jax.config.update(name, seconds)
