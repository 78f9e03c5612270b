import pathlib

import pytest
import training_processes

from motion_vit.training.loop.loop import train
from motion_vit.training.recipe.file import load_config


@pytest.mark.slow
def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(
    lists: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    fields = {"data.train": lists["train"]}
    config = load_config(str(training_processes.RECIPE), [f"--config.{name}={value}" for name, value in fields.items()])
    train(config, tmp_path, max_steps=5)

    # More than recipe and logs need, less than the parameters.
    environment = {training_processes.FILE_SIZE: "50000", "JAX_ENABLE_COMPILATION_CACHE": "0"}
    assert training_processes.end(training_processes.start(1, tmp_path, fields, environment)) == [2]
    errors = training_processes.text_of(tmp_path, "errors0")
    message = f"motion-vit: a checkpoint cannot be written to {tmp_path}/checkpoints: File too large. That of step 5 is"
    assert errors.startswith(message)
    assert "Traceback" not in errors

    assert train(config, tmp_path).completed
