"""Aggregates a run's numbers between two log lines: metrics, throughput, waiting for data and memory."""

import time
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from motion_vit.training.logs.device_memory import memory_use
from motion_vit.training.logs.throughput import Throughput

StepMetrics = Mapping[str, jax.Array]
"""The metrics of a step on the devices, where they may not be there yet."""


class Meter:
    """Collects the numbers of steps and aggregates them.

    Args:
      throughput: cost of a clip, and the devices of all processes.
      local_devices: devices of this process, whose memory is reported.
    """

    def __init__(self, throughput: Throughput, local_devices: Sequence[jax.Device]) -> None:
        self._throughput = throughput
        self._local_devices = local_devices
        self.restart()

    def restart(self) -> None:
        """Resets everything and starts the clock."""
        self._start = time.perf_counter()
        self._metrics: list[Mapping[str, float]] = []
        self._pending: list[StepMetrics] = []
        self._clips = 0
        self._waited = 0.0

    def leave_out(self, seconds: float) -> None:
        """Excludes time spent on something else, such as evaluation, from the pace.

        Args:
          seconds: excluded time, just spent.
        """
        self._start += seconds

    def add_step(self, metrics: StepMetrics, clips: int, waited: float) -> None:
        """Counts a step.

        Args:
          metrics: of `train_step.make_train_step`; they stay on the devices until `fetch`.
          clips: clips of the step, of all processes.
          waited: seconds that the devices had nothing to do before this process's part of the batch came.
        """
        self._pending.append(metrics)
        self._clips += clips
        self._waited += waited

    def fetch(self) -> list[Mapping[str, float]]:
        """Waits for the metrics of the steps since it was last called, and brings them to the host at once.

        Returns:
          The metrics of each of these steps.
        """
        fetched = jax.device_get(self._pending)
        new: list[Mapping[str, float]] = [{name: float(value) for name, value in step.items()} for step in fetched]
        self._metrics += new
        self._pending = []
        return new

    def summary(self) -> dict[str, float]:
        """Sums up the steps since the last `restart`; waits for them.

        Returns:
          `loss` and, of a classifier, `top1` as means over the examples that count, `grad_norm` as mean. The latest
          `learning_rate` and summaries of the model. `seconds_per_step`, and `waiting_for_data` (the share of the time
          that the devices waited). The rates of `Throughput.rates`, and the memory of
          `device_memory.MemoryUse.metrics`.
        """
        self.fetch()
        seconds = max(time.perf_counter() - self._start, 1e-9)
        weights = np.array([metrics["weight"] for metrics in self._metrics])
        total = max(float(weights.sum()), 1.0)
        means = {
            name: float(np.dot(weights, [metrics[name] for metrics in self._metrics])) / total
            for name in ("loss", "top1")
            if name in self._metrics[-1]
        }
        return {
            **means,
            "grad_norm": float(np.mean([metrics["grad_norm"] for metrics in self._metrics])),
            **{name: value for name, value in self._metrics[-1].items() if name not in (*means, "grad_norm", "weight")},
            "seconds_per_step": seconds / len(self._metrics),
            "waiting_for_data": min(self._waited / seconds, 1.0),
            **self._throughput.rates(self._clips / seconds),
            **memory_use(self._local_devices).metrics(),
        }
