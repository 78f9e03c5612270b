"""TensorFlow SavedModel: TensorFlow alone loads it, calls its signature and gives JAX's logits."""

import pytest
from exported import emim_model, export, read_config, write_emim_model

from motion_vit.training.checkpoints.weight_dtypes import compress


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder, and what the command said."""
    path = tmp_path_factory.mktemp("saved_model")
    weights = write_emim_model(path / "weights")
    return path / "export", export(weights, "savedmodel", path / "export", "--dtype", "int8-weights", "--verify")


def test_tensorflow_gives_the_same_logits_in_a_fresh_process(exported):
    folder, finished = exported
    assert finished.status == 0, finished.errors
    assert "logits of tensorflow 2." in finished.output
    assert "agree with JAX's" in finished.output
    entry = read_config(folder)["export"]
    assert entry["signature"] == "serving_default"
    assert entry["input"] == {"name": "clips", "shape": [None, 4, 32, 32, 3], "dtype": "float32"}


def test_variables_are_stored_in_the_small_form(exported):
    weights = sum(array.nbytes for array in compress(emim_model().variables, "int8-weights").values())
    variables = sum(path.stat().st_size for path in (exported[0] / "saved_model" / "variables").iterdir())
    assert weights <= variables < 1.2 * weights
