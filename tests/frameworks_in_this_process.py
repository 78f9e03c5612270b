"""Frameworks of the model benchmark without processes of their own, which saves importing both once more."""

import importlib
import pickle
from typing import Any

import framework_process


class HereInThisProcess(framework_process.Framework):
    """A framework in this process; what would pass between the processes is pickled all the same."""

    def __init__(self, name: str, runner: str, **options: Any) -> None:
        module, runner_class = framework_process.RUNNERS[runner]
        self.name = name
        self._runner = getattr(importlib.import_module(module), runner_class)(**pickled(options))

    def call(self, method: str, *args: Any) -> framework_process.Answer:
        return pickled(framework_process.timed_call(self._runner, method, *pickled(args)))

    def close(self) -> None:
        pass


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))
