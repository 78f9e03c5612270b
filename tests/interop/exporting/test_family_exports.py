"""Every family of models, every format: the runtime of each gives JAX's logits.

Smaller than what `motion-vit export --verify` does, which other tests run: the runtimes are called in as few processes
as possible, and the networks are as shallow as they come.
"""

import json
import pathlib

import chex
import jax
import numpy as np
import pytest
from exported import run_python
from small_trained_model import small_trained_model

import motion_vit
from motion_vit.interop.exporting.export import export_model
from motion_vit.interop.exporting.self_check import draw_clips, read_self_check
from motion_vit.interop.runners import run_onnx, run_stablehlo, run_torch, run_weights
from motion_vit.training.checkpoints.weights_folder import write_weights_folder

NETWORKS = {
    # What only this library combines: a prompt before a motion module before cost volumes over time.
    "timesformer": {
        **{"name": "timesformer_tiny", "depth": 1, "temporal_attention": "cost_volume", "window": 3},
        **{"motion_module": "m2a", "input_adapter": "motion_prompt"},
    },
    # What compiles fastest, where the network is no matter.
    "small": {"name": "small"},
    # A batch of all frames, which is a multiple of the symbolic one.
    "space_only": {"name": "timesformer_tiny", "depth": 1, "attention": "space_only"},
    # Without a class token, and with both kinds of attention.
    "videomae": {
        **{"name": "videomae_tiny", "depth": 2, "width": 16, "heads": 2, "placement": "lg", "window": 3},
        **{"input_adapter": "motion_prompt"},
    },
    # Windows that are shifted and padded, and a block with cost volumes.
    "video_swin": {
        **{"name": "video_swin_tiny", "width": 16, "depths": (2, 2), "head_channels": 8, "placement": "stage2"},
        **{"attention_window": (2, 3, 3), "window": 3, "size": 32},
    },
    # Keys on another grid than queries.
    "mvit": {"name": "mvit_v2_tiny", "width": 8, "depths": (1, 1), "motion_module": "m2a", "size": 64},
    # An encoder of frames before one of the clip, and the class token past cost volumes.
    "vivit": {
        **{"name": "vivit_tiny", "depth": 2, "temporal_depth": 1, "width": 16, "heads": 2, "window": 3},
        **{"attention": "factorised_encoder", "placement": "lg"},
    },
    # Heads over time and heads within frames.
    "vivit_dot_product": {
        **{"name": "vivit_tiny", "depth": 1, "width": 16, "heads": 2},
        **{"attention": "factorised_dot_product", "pooling": "mean"},
    },
    "resnet": {
        "name": "resnet18_tiny",
        "depths": (1, 1, 1, 1),
        "motion_module": "m2a",
        "temporal_shift": True,
        "size": 64,
    },
    "mobilenetv2": {
        **{"name": "mobilenetv2_tiny", "width": 0.05, "depths": (1, 2, 1, 1, 1, 1, 1), "last_width": 16, "size": 64},
        **{"motion_module": "m2a", "temporal_shift": True},
    },
    "slowfast": {
        **{"name": "slowfast_tiny", "widths": (8, 8, 8, 8), "frame_ratio": 2, "channel_ratio": 1, "size": 64},
        **{"motion_module": "m2a", "input_adapter": "motion_prompt"},
    },
    "x3d": {
        **{"name": "x3d_tiny", "widths": (8, 8, 8, 8), "depths": (1, 1, 2, 1), "head_features": 8, "size": 64},
        **{"motion_module": "m2a", "stride_norm": True},
    },
    "i3d": {
        **{"name": "slowfast_tiny", "widths": (8, 8, 8, 8), "fast_pathway": False, "pool_size": 32, "size": 64},
        **{"temporal_convolutions": "alternating", "temporal_pool": True},
    },
    "inception_i3d": {"name": "i3d_inception_tiny", "width": 4, "motion_module": "m2a", "size": 48},
    "video_resnet": {
        **{"name": "i3d_resnet18_tiny", "widths": (8, 8, 8, 8), "depths": (1, 1, 1, 1), "size": 64},
        **{"motion_module": "m2a", "input_adapter": "motion_prompt"},
    },
    "r2plus1d": {"name": "r2plus1d_tiny", "widths": (8, 8, 8, 8), "size": 32},
    # The same in UniFormer, where the module also stands before convolutions.
    "uniformer": {
        **{"name": "uniformer_emim_tiny", "widths": (8, 8, 16, 16), "depths": (1, 1, 1, 1), "head_channels": 8},
        **{"placement": "ll", "window": 3, "motion_module": "m2a", "input_adapter": "motion_prompt"},
    },
}
RUNNERS = {"safetensors": run_weights, "torch": run_torch, "stablehlo": run_stablehlo, "onnx": run_onnx}

IN_TENSORFLOW = """
import json, pathlib, sys
import numpy as np
from motion_vit.interop.exporting.export import export_model
from motion_vit.interop.runners import run_litert, run_saved_model
from motion_vit.interop.exporting.self_check import draw_clips, read_self_check
from motion_vit.training.checkpoints.load_trained import load_trained
found = {}
for weights in pathlib.Path(sys.argv[1]).iterdir():
    trained = load_trained(weights)
    for file_format, runner in (("savedmodel", run_saved_model), ("tflite", run_litert)):
        folder = pathlib.Path(sys.argv[2], f"{weights.name}-{file_format}")
        export_model(trained, file_format, folder)
        check = read_self_check(folder)
        difference = np.abs(runner.load(folder)(draw_clips(check.seed, check.shape)) - check.outputs).max()
        found[folder.name] = (float(difference), check.tolerance)
print(json.dumps(found))
"""


OTHERS = [
    ("small", "safetensors"),
    *(("slowfast", file_format) for file_format in RUNNERS),
    ("i3d", "onnx"),
    *(("inception_i3d", file_format) for file_format in ("torch", "onnx")),
    *(("x3d", file_format) for file_format in RUNNERS),
    *(("mobilenetv2", file_format) for file_format in ("torch", "stablehlo", "onnx")),
    *(("video_resnet", file_format) for file_format in ("stablehlo", "onnx")),
    *(("r2plus1d", file_format) for file_format in ("torch", "onnx")),
    ("space_only", "onnx"),
    *(("uniformer", file_format) for file_format in ("safetensors", "stablehlo", "onnx")),
    *(("video_swin", file_format) for file_format in ("torch", "stablehlo", "onnx")),
    *(("mvit", file_format) for file_format in ("torch", "stablehlo", "onnx")),
    *(("videomae", file_format) for file_format in ("torch", "stablehlo", "onnx")),
    ("vivit", "onnx"),
    ("vivit_dot_product", "onnx"),
]
"""Networks and formats besides those of a transformer and of a convolutional network."""


@pytest.mark.fast_cases("resnet-onnx", "small-safetensors")
@pytest.mark.parametrize(
    ("network", "file_format"),
    [
        *((network, file_format) for network in ("timesformer", "resnet") for file_format in RUNNERS),
        *OTHERS,
    ],
)
def test_the_runtime_gives_the_same_logits(network, file_format, tmp_path):
    with jax.numpy_dtype_promotion("standard"):  # which Flax's own modules rely on
        export_model(small_trained_model(**NETWORKS[network]), file_format, tmp_path / "export")
        check = read_self_check(tmp_path / "export")
        logits = RUNNERS[file_format].load(tmp_path / "export")(draw_clips(check.seed, check.shape))
    assert np.abs(logits - check.outputs).max() <= check.tolerance
    assert np.abs(check.outputs).max() > 0.01


@pytest.mark.slow
def test_tensorflow_and_litert_give_the_same_logits(tmp_path: pathlib.Path):
    for network in ("timesformer", "resnet", "slowfast", "x3d", "mobilenetv2"):
        write_weights_folder(tmp_path / "weights" / network, small_trained_model(**NETWORKS[network]))
    finished = run_python(IN_TENSORFLOW, tmp_path / "weights", tmp_path)
    assert finished.status == 0, finished.errors
    found = json.loads(finished.output.splitlines()[-1])
    assert len(found) == 10
    assert {name: pair for name, pair in found.items() if not pair[0] <= pair[1]} == {}


def test_a_prompted_model_comes_back_with_its_extra_frame(tmp_path):
    trained = small_trained_model(**NETWORKS["timesformer"])
    write_weights_folder(tmp_path / "weights", trained)
    values = json.loads((tmp_path / "weights" / "config.json").read_text())
    assert (values["preprocessing"]["frames"], values["preprocessing"]["extra_frames"]) == (4, 1)
    read = motion_vit.load(tmp_path / "weights")
    assert read.model == trained.model
    assert read.model.clip_shape[0] == 5
    chex.assert_trees_all_equal(read.variables, trained.variables)
