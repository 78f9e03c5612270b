"""StableHLO: one file for several platforms and any batch, called in a process that knows no model."""

import json

import jax
import numpy as np
import pytest
from exported import emim_model, run_python
from jax import export
from small_trained_model import small_trained_model

from motion_vit.interop.exporting.export import export_model
from motion_vit.interop.exporting.stablehlo import export_stablehlo
from motion_vit.interop.exporting.verification import verify
from motion_vit.training.checkpoints.weight_dtypes import compress, expand

CALL_WITHOUT_THE_LIBRARY = """
import json, pathlib, sys
import numpy as np
from jax import export
exported = export.deserialize(bytearray(pathlib.Path(sys.argv[1], "model.stablehlo").read_bytes()))
logits = exported.call(np.load(sys.argv[2]))
assert not any(name.split(".")[0] in ("motion_vit", "flax") for name in sys.modules)
print(json.dumps(np.asarray(logits).tolist()))
"""


@pytest.fixture(scope="module")
def trained():
    return emim_model()


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("stablehlo") / "export"
    export_model(trained, "stablehlo", path)
    return path


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_logits(folder):
    verification = verify(folder)
    assert verification.agrees
    assert verification.max_difference < 1e-5
    assert verification.largest_output > 0.01
    assert verification.runtime == f"jax {jax.__version__}"


@pytest.mark.slow
def test_another_batch_needs_neither_the_model_nor_the_library(folder, trained, tmp_path):
    clips = np.random.default_rng(1).standard_normal((3, 4, 32, 32, 3), dtype=np.float32)
    np.save(tmp_path / "clips.npy", clips)
    finished = run_python(CALL_WITHOUT_THE_LIBRARY, folder, tmp_path / "clips.npy")
    assert finished.status == 0, finished.errors
    expected = jax.jit(trained.model.apply)(trained.variables, clips)
    np.testing.assert_allclose(json.loads(finished.output), expected, atol=1e-5)


def test_one_file_holds_what_is_best_on_each_platform(tmp_path):
    trained = small_trained_model(name="uniformer_tiny", depths=(1, 1, 1, 1))
    export_stablehlo(trained, tmp_path, batch=None, dtype="float32")
    exported = export.deserialize(bytearray((tmp_path / "model.stablehlo").read_bytes()))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    program = exported.mlir_module()
    # Grouped convolutions for GPUs; the choice is made by an index that the platform gives.
    assert "stablehlo.convolution" in program
    assert "stablehlo.case" in program


@pytest.mark.fast_cases("int8-weights-*")
@pytest.mark.parametrize(("dtype", "share"), [("bfloat16", 0.65), ("int8-weights", 0.5)])
def test_small_weights_make_a_small_file_and_are_widened_when_called(tmp_path, dtype, share):
    trained = small_trained_model()
    clips = np.random.default_rng(1).standard_normal((3, 4, 32, 32, 3), dtype=np.float32)
    with jax.numpy_dtype_promotion("standard"):  # which Flax's own modules rely on
        for kept in ("float32", dtype):
            (tmp_path / kept).mkdir()
            export_stablehlo(trained, tmp_path / kept, batch=3, dtype=kept)
        expected = jax.jit(trained.model.apply)(expand(compress(trained.variables, dtype)), clips)
    files = [tmp_path / kept / "model.stablehlo" for kept in (dtype, "float32")]
    assert files[0].stat().st_size < share * files[1].stat().st_size
    exported = export.deserialize(bytearray(files[0].read_bytes()))
    np.testing.assert_allclose(jax.jit(exported.call)(clips), expected, atol=1e-5)


@pytest.mark.slow
def test_a_program_that_was_split_over_frames_or_scanned_is_exported_whole(tmp_path):
    model = emim_model(scan_blocks=True, remat="blocks", frame_axis="data", cost_volume_implementation="xla_window")
    description = export_model(model, "stablehlo", tmp_path / "export", batch=1)
    assert description["export"]["batch"] == 1
    assert description["model"]["options"]["scan_blocks"] is True
