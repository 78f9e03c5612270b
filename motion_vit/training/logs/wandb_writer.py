"""Weights & Biases as a metric writer."""

import os
import secrets
from collections.abc import Mapping
from typing import Literal

from motion_vit.errors import UserError
from motion_vit.training.logs.tracked_run import TrackedRun

_SERVICE = "wandb"
_PROJECT = "motion_vit"
_PROJECT_VARIABLE = "WANDB_PROJECT"
_MODE_VARIABLE = "WANDB_MODE"
_MODES: Mapping[str, Literal["online", "offline", "disabled"]] = {
    "online": "online",
    "offline": "offline",
    "disabled": "disabled",
}
_OPENING_SECONDS = 120.0
_WAY_OUT = (
    f"Run `wandb login`, set WANDB_API_KEY, or set {_MODE_VARIABLE}=offline to write into the workdir and send it "
    "later with `wandb sync`."
)


def check_wandb() -> None:
    """Checks, before training, that runs can be sent.

    Raises:
      UserError: nobody is logged in, and the mode is not "offline" or "disabled".
    """
    import wandb

    if os.environ.get(_MODE_VARIABLE, "online") != "online":
        return
    try:
        logged_in = wandb.login(prompt=False)
    except Exception as error:
        raise UserError(f"Weights & Biases refuses the login ({error}). {_WAY_OUT}") from error
    if not logged_in:
        raise UserError(f"log.writers names wandb, and nobody is logged in to Weights & Biases. {_WAY_OUT}")


class WandbWriter:
    """A run of Weights & Biases, which is the same run where training is continued.

    The project is `WANDB_PROJECT`, or "motion_vit"; wandb's own environment variables hold for the rest.

    Args:
      run: its name, recipe and folder.
    """

    def __init__(self, run: TrackedRun) -> None:
        import wandb

        run_id = run.id_of(_SERVICE)
        if not run_id:
            run_id = secrets.token_hex(8)
            run.keep_id(_SERVICE, run_id)
        mode = _MODES.get(os.environ.get(_MODE_VARIABLE, ""))
        self._run = wandb.init(
            # wandb itself reads the variable once for each process.
            mode=mode,
            project=os.environ.get(_PROJECT_VARIABLE) or _PROJECT,
            name=run.name,
            id=run_id,
            # An offline run knows nothing of the earlier one, and warns of it; they meet when they are sent.
            resume=None if mode == "offline" else "allow",
            config=dict(run.config),
            dir=os.fspath(run.workdir),
            # What is printed belongs to the progress bar, and the code to its owner.
            settings=wandb.Settings(console="off", silent=True, save_code=False, init_timeout=_OPENING_SECONDS),
        )
        # wandb counts calls of `log`; the curves are over training steps.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Adds one point to each curve."""
        self._run.log({"step": step, **{f"{split}/{name}": value for name, value in values.items()}})

    def close(self) -> None:
        """Sends what is left and ends the run there."""
        self._run.finish()
