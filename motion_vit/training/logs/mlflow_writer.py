"""MLflow as a metric writer."""

import importlib.util
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from motion_vit.errors import UserError
from motion_vit.training.logs.tracked_run import TrackedRun

_SERVICE = "mlflow"
_EXPERIMENT = "motion_vit"
_EXPERIMENT_VARIABLE = "MLFLOW_EXPERIMENT_NAME"
_STORE_VARIABLE = "MLFLOW_TRACKING_URI"
# What a server takes in one call, and as the value of a parameter.
_MOST_PARAMETERS = 100
_LONGEST_PARAMETER = 500


def check_mlflow() -> None:
    """Checks, before training, that there is a place for runs.

    Raises:
      UserError: no place is named, and the package that makes a local database is missing.
    """
    if not os.environ.get(_STORE_VARIABLE) and importlib.util.find_spec("sqlalchemy") is None:
        raise UserError(
            f"log.writers names mlflow, and {_STORE_VARIABLE} is not set: mlflow-skinny alone has no local database. "
            f"Set it to the address of a server, such as {_STORE_VARIABLE}=http://localhost:5000, or install mlflow, "
            "which makes mlflow.db in the current folder."
        )


class MlflowWriter:
    """A run of MLflow, which is the same run where training is continued.

    The server is `MLFLOW_TRACKING_URI` and the experiment `MLFLOW_EXPERIMENT_NAME`, or "motion_vit"; MLflow's own
    environment variables hold for the rest.

    Args:
      run: its name, recipe and folder.
    """

    def __init__(self, run: TrackedRun) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient()
        self._run_id = self._continued(run.id_of(_SERVICE))
        if not self._run_id:
            name = os.environ.get(_EXPERIMENT_VARIABLE) or _EXPERIMENT
            known = self._client.get_experiment_by_name(name)
            experiment = self._client.create_experiment(name) if known is None else known.experiment_id
            self._run_id = self._client.create_run(experiment, run_name=run.name).info.run_id
            parameters = [Param(key, value[:_LONGEST_PARAMETER]) for key, value in _flattened(run.config)]
            for start in range(0, len(parameters), _MOST_PARAMETERS):
                self._client.log_batch(self._run_id, params=parameters[start : start + _MOST_PARAMETERS])
            run.keep_id(_SERVICE, self._run_id)

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Adds one point to each curve."""
        from mlflow.entities import Metric

        now = time.time_ns() // 10**6
        points = [Metric(f"{split}/{name}", value, now, step) for name, value in values.items()]
        self._client.log_batch(self._run_id, metrics=points)

    def close(self) -> None:
        """Marks the run as finished; continuing it marks it as running again."""
        self._client.set_terminated(self._run_id)

    def _continued(self, run_id: str) -> str:
        """Marks an earlier run as running; "" where the store has no such run, as after a change of the store."""
        from mlflow.exceptions import MlflowException

        if not run_id:
            return ""
        try:
            self._client.update_run(run_id, status="RUNNING")
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return ""
            raise
        return run_id


def _flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yields the dotted name and the text of each value."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)
