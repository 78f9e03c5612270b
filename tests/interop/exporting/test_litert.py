"""LiteRT: the interpreter runs the file with its own operators, and small weights make a small file."""

import json

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from exported import emim_model, read_config, run_example, run_python, write_emim_model
from small_trained_model import small_trained_model

from motion_vit.errors import UserError
from motion_vit.interop.exporting.litert import export_litert
from motion_vit.training.checkpoints.weights_folder import write_weights_folder

# All in one process, because importing TensorFlow takes longer than converting.
EXPORT_AND_VERIFY = """
import json, pathlib, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from motion_vit.interop.exporting.export import export_model
from motion_vit.interop.exporting.interface import Interface
from motion_vit.interop.exporting.verification import verify
from motion_vit.training.checkpoints.load_trained import load_trained
trained = load_trained(sys.argv[1])
found = {}
for dtype, batch in (("float32", 2), ("float16", 1), ("int8-weights", 1)):
    folder = pathlib.Path(sys.argv[2], dtype)
    export_model(trained, "tflite", folder, dtype=dtype, batch=batch)
    verification = verify(folder)
    found[dtype] = (verification.agrees, verification.max_difference / verification.largest_output)
one_patch = pathlib.Path(sys.argv[2], "one patch")
evidential = load_trained(sys.argv[3])
evidential.config.loss.name, evidential.config.loss.label_smoothing = "evidential", 0.0
export_model(evidential, "tflite", one_patch, dtype="float32", batch=1)
check = json.loads((one_patch / "self_check.json").read_text())
clips = np.random.default_rng(check["seed"]).standard_normal(check["shape"], dtype=np.float32)
interpreter = Interpreter(str(one_patch / "model.tflite"))
found_uncertainty = interpreter.get_signature_runner("serving_default")(clips=clips)["uncertainty"]
np.testing.assert_allclose(found_uncertainty, check["uncertainty"], atol=1e-5)
pixels = pathlib.Path(sys.argv[2], "pixels")
export_model(load_trained("demo"), "tflite", pixels, interface=Interface("uint8", "probabilities"))
found["pixels"] = (verify(pixels).agrees, 0.0)
found["one patch"] = (verify(one_patch).agrees, 0.0)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """The folder of the exports, and for each whether it agrees and how far it is off."""
    path = tmp_path_factory.mktemp("litert")
    # In the last stage of the second model, a frame is a single patch.
    one_patch = small_trained_model(name="uniformer_emim_tiny")
    write_weights_folder(path / "one patch, weights", one_patch)
    finished = run_python(EXPORT_AND_VERIFY, write_emim_model(path / "weights"), path, path / "one patch, weights")
    assert finished.status == 0, finished.errors
    return path, json.loads(finished.output.splitlines()[-1])


@pytest.mark.slow
def test_the_interpreter_gives_the_same_logits_in_a_fresh_process(exports):
    folder, found = exports
    assert found["float32"][0]
    assert found["float32"][1] < 1e-4
    assert read_config(folder / "float32")["export"]["input"]["shape"] == [2, 4, 32, 32, 3]


@pytest.mark.slow
def test_it_takes_pixels_and_gives_probabilities(exports):
    folder, found = exports
    assert found["pixels"][0]
    interpreter = Interpreter(str(folder / "pixels" / "model.tflite"))
    assert interpreter.get_input_details()[0]["dtype"] == np.uint8
    assert interpreter.get_signature_list()["serving_default"]["outputs"] == ["probabilities"]


@pytest.mark.slow
def test_where_the_library_is_not_installed_the_example_prints_what_predict_prints(exports, predicted):
    videos, expected = predicted
    for said, probabilities in zip(run_example(exports[0] / "pixels", videos), expected, strict=True):
        assert said == pytest.approx(probabilities, abs=1e-4)


@pytest.mark.slow
def test_a_map_of_one_patch_is_converted_too(exports):
    assert exports[1]["one patch"][0]


@pytest.mark.slow
def test_it_needs_no_operators_of_tensorflow(exports):
    path = str(exports[0] / "float32" / "model.tflite")
    interpreter = Interpreter(path, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    names = {operator["op_name"] for operator in interpreter._get_ops_details()}
    assert names >= {"DEPTHWISE_CONV_2D", "BATCH_MATMUL", "SOFTMAX", "FULLY_CONNECTED"}
    assert not [name for name in names if name.startswith(("Flex", "CUSTOM", "STABLEHLO"))]
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["clips"], "outputs": ["logits"]}}


@pytest.mark.slow
def test_small_weights_make_a_small_file_that_gives_nearly_the_same_logits(exports):
    folder, found = exports
    dtypes = ("float32", "float16", "int8-weights")
    sizes = {dtype: (folder / dtype / "model.tflite").stat().st_size for dtype in dtypes}
    assert sizes["float16"] < 0.65 * sizes["float32"]
    assert sizes["int8-weights"] < 0.5 * sizes["float32"]
    assert found["float16"][1] < 1e-3
    assert found["int8-weights"][1] < 0.03
    assert all(agrees for agrees, _ in found.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": None, "dtype": "float32"}, "give --batch 1"),
        ({"batch": 1, "dtype": "bfloat16"}, "has no bfloat16 weights"),
    ],
)
def test_what_it_cannot_do_is_said_before_anything_is_converted(options, message, tmp_path):
    with pytest.raises(UserError, match=message):
        export_litert(emim_model(), tmp_path, **options)
    assert not list(tmp_path.iterdir())
