"""TensorFlow SavedModel: TensorFlow alone loads it, calls its signature and gives JAX's logits."""

import json

import pytest
from exported import emim_model, read_config, run_example, run_python, write_emim_model

from motion_vit.training.checkpoints.weight_dtypes import compress

# All in one process, because importing TensorFlow takes longer than converting.
EXPORT_AND_VERIFY = """
import json, pathlib, sys
import numpy as np
from motion_vit.interop.exporting.export import export_model
from motion_vit.interop.exporting.interface import Interface
from motion_vit.interop.exporting.verification import verify
from motion_vit.training.checkpoints.load_trained import load_trained
import tensorflow
trained = load_trained(sys.argv[1])
folder = pathlib.Path(sys.argv[2])
trained.config.loss.name, trained.config.loss.label_smoothing = "evidential", 0.0
export_model(trained, "savedmodel", folder / "plain", dtype="int8-weights")
export_model(load_trained("demo"), "savedmodel", folder / "pixels", interface=Interface("uint8", "probabilities"))
verifications = [verify(folder / name) for name in ("plain", "pixels")]
check = json.loads((folder / "plain" / "self_check.json").read_text())
clips = np.random.default_rng(check["seed"]).standard_normal(check["shape"], dtype=np.float32)
signature = tensorflow.saved_model.load(str(folder / "plain" / "saved_model")).signatures["serving_default"]
np.testing.assert_allclose(signature(clips=clips)["uncertainty"], check["uncertainty"], atol=1e-5)
print(json.dumps([(one.agrees, str(one)) for one in verifications]))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder of the exports, and for each whether it agrees and what is said."""
    path = tmp_path_factory.mktemp("saved_model")
    finished = run_python(EXPORT_AND_VERIFY, write_emim_model(path / "weights"), path)
    assert finished.status == 0, finished.errors
    return path, json.loads(finished.output.splitlines()[-1])


@pytest.mark.slow
def test_tensorflow_gives_the_same_logits_in_a_fresh_process(exported):
    folder, (plain, pixels) = exported
    assert plain[0]
    assert plain[1].startswith("logits of tensorflow 2.")
    assert pixels[0]
    assert pixels[1].startswith("probabilities of tensorflow 2.")
    entry = read_config(folder / "plain")["export"]
    assert entry["signature"] == "serving_default"
    assert entry["uncertainty"] == {"name": "uncertainty", "shape": [None], "dtype": "float32"}
    assert entry["input"] == {"name": "clips", "shape": [None, 4, 32, 32, 3], "dtype": "float32"}


@pytest.mark.slow
def test_variables_are_stored_in_the_small_form(exported):
    weights = sum(array.nbytes for array in compress(emim_model().variables, "int8-weights").values())
    variables = sum(path.stat().st_size for path in (exported[0] / "plain" / "saved_model" / "variables").iterdir())
    assert weights <= variables < 1.2 * weights


@pytest.mark.slow
def test_where_the_library_is_not_installed_the_example_prints_what_predict_prints(exported, predicted):
    videos, expected = predicted
    for said, probabilities in zip(run_example(exported[0] / "pixels", videos), expected, strict=True):
        assert said == pytest.approx(probabilities, abs=1e-4)
