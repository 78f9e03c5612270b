"""Between host and devices goes only what the loop sends or fetches by name: batches, and metrics at a log line."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from motion_vit.training.loop.loop import Run, TrainingResult, train
from motion_vit.training.step.program import TrainingProgram

pytestmark = pytest.mark.usefixtures("light_runs")

# How Python asks an array for its value. JAX's guard does not see these on CPU, where a fetch copies nothing.
READS = ("__bool__", "__float__", "__format__", "__index__", "__int__", "__iter__", "item", "tolist")


@contextlib.contextmanager
def no_implicit_transfers() -> Iterator[None]:
    """Makes implicit transfers errors, in both directions."""
    array = type(jax.device_put(0.0))

    def refuse(name: str) -> Callable[..., NoReturn]:
        def read(values: jax.Array, *arguments: Any) -> NoReturn:
            raise AssertionError(f"an array of shape {values.shape} is fetched by {name}")

        return read

    with pytest.MonkeyPatch.context() as patch, jax.transfer_guard("disallow"):
        for name in READS:
            patch.setattr(array, name, refuse(name))
        yield


@pytest.fixture
def guarded_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the loop, from the first batch over evaluations to the last checkpoint."""
    advance = Run.advance

    def guarded(run: Run, *arguments: Any) -> TrainingResult:
        with no_implicit_transfers():
            return advance(run, *arguments)

    monkeypatch.setattr(Run, "advance", guarded)


def run_on_one_device(config: ConfigDict, folder: pathlib.Path) -> TrainingResult:
    return train(config, folder, devices=jax.devices()[:1])


@pytest.mark.usefixtures("guarded_loop")
def test_nothing_is_sent_or_fetched_implicitly_while_training(small_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    assert run_on_one_device(small_config, tmp_path).completed


@pytest.mark.usefixtures("guarded_loop")
@pytest.mark.parametrize(
    ("to_devices", "message"),
    [
        (lambda program, batch: batch, "Disallowed host-to-device transfer"),
        (lambda program, batch: {"clip": float(jax.device_put(np.float32(1)))}, "fetched by __float__"),
    ],
    ids=["sent", "fetched"],
)
def test_a_transfer_that_nobody_asked_for_would_be_noticed(
    to_devices: Callable[..., Any],
    message: str,
    small_config: ConfigDict,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def batch_of(program: TrainingProgram, batch: dict[str, np.ndarray]) -> Any:
        return to_devices(program, {name: batch[name] for name in ("clip", "label", "weight")})

    monkeypatch.setattr(TrainingProgram, "to_devices", batch_of)
    with pytest.raises(Exception, match=message):
        run_on_one_device(small_config, tmp_path)
