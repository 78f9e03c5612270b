"""Makes the fixtures in this folder from the full golden files: python make_fixtures.py FOLDER_OF_THE_FULL_GOLDENS.

Checks on the way that what is left out can be rebuilt: weights and videos are functions of names and seeds.
"""

import argparse
import json
import pathlib
import shutil
import sys

import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import goldens

TINY = ("uniformer_emim_tiny", "uniformer_tiny", "uniformer_emim_tiny_layerscale")
EMIM = ("emim_t16_k5", "emim_t16_k7", "emim_t32_k7")
TIMESFORMER = tuple(f"timesformer_tiny_{scheme}" for scheme in ("divided_space_time", "joint_space_time", "space_only"))
SLOWFAST = (
    *("slowfast_tiny", "slow_tiny", "c2d_tiny", "i3d_tiny", "slowfast_tiny_motion_prompt"),
    *("slowfast_4x16_r50", "slowfast_8x8_r50", "c2d_8x8_r50", "i3d_8x8_r50"),
)
X3D = (
    *("x3d_tiny", "x3d_tiny_slowfast_repository", "x3d_tiny_motion_prompt"),
    *("x3d_xs", "x3d_m", "x3d_m_slowfast_repository"),
)
MOBILENETV2 = ("tsn_tiny", "tsm_tiny", "m2a_tiny", "tsn", "tsm")
VIDEO_RESNET = (
    *("r3d_tiny", "mc3_tiny", "r2plus1d_tiny", "i3d_resnet18_tiny", "i3d_resnet18_m2a_tiny"),
    *("r3d_18", "r2plus1d_18", "i3d_resnet18", "i3d_resnet18_m2a"),
)
VIDEOMAE = ("videomae_tiny", "videomae_base", "videomae_hf_tiny")
VIDEO_SWIN = ("window877", "window244", "window877_odd")
VIVIT = ("vivit_scenic_tiny", "vivit_hf_tiny")
VITTA = ("vitta_batchnorm", "vitta_layernorm")
WHOLE = ("x", "video", "cotangent")
"""Inputs, without which nothing can be computed."""


def main(source: pathlib.Path) -> None:
    """Writes the fixtures."""
    shapes = {"uniformer_emim_s": json.loads((source / "uniformer_emim_small_state_dict.json").read_text())}
    for name in TINY:
        checkpoint = torch.load(source / f"{name}.pyth", weights_only=True)["model_state"]
        for entry, value in checkpoint.items():
            np.testing.assert_array_equal(goldens.weight(entry, tuple(value.shape)), value.numpy())
        shapes[name] = {entry: list(value.shape) for entry, value in checkpoint.items()}
        arrays = dict(np.load(source / f"{name}.npz"))
        np.testing.assert_array_equal(arrays.pop("video").astype(np.float32), goldens.tiny_video())
        _save(name, arrays)
    for name in EMIM:
        _save(name, _without_weights(dict(np.load(source / f"{name}.npz"))))
    _save("video_motion_prompt", dict(np.load(source / "video_motion_prompt.npz")))
    _save("m2a", _without_weights(dict(np.load(source / "m2a.npz"))))
    shapes |= json.loads((source / "resnet_tsn_state_dicts.json").read_text())
    arrays = dict(np.load(source / "resnet_tsn.npz"))
    np.testing.assert_array_equal(arrays.pop("video").astype(np.float32), goldens.resnet_video())
    _save("resnet_tsn", arrays)
    for name in TIMESFORMER:
        arrays = dict(np.load(source / f"{name}.npz"))
        np.testing.assert_array_equal(arrays.pop("video").astype(np.float32), goldens.timesformer_video())
        weights = {entry.removeprefix("param/"): value for entry, value in arrays.items() if entry.startswith("param/")}
        shapes[name] = {entry: list(value.shape) for entry, value in weights.items()}
        _save(name, _without_weights(arrays))
    shapes["videomae_pretrain_tiny"] = _save_pretraining(source)
    for name in VIDEOMAE:
        network, _, size = name.rpartition("_")
        arrays = dict(np.load(source / "vit" / f"{name}.npz"))
        seed, shape = int(arrays.pop("video_seed")), tuple(arrays.pop("video_shape"))
        np.testing.assert_array_equal(arrays.pop("video_head"), goldens.seeded_video(seed, shape).ravel()[:8])
        shapes[name] = json.loads((source / "vit" / f"{network}_state_dicts.json").read_text())[size]
        # What pretraining computes has no counterpart here.
        _save(name, {entry: value for entry, value in arrays.items() if not entry.startswith("pretrain/")})
    _save("uniformer_emim_s", dict(np.load(source / "uniformer_emim_small.npz")))
    _save_distillation(source / "methods")
    _save_semi_supervised(source / "methods")
    _copy_slowfast(source / "conv")
    _save_video_swin(source / "vit")
    _copy_mvit(source / "vit")
    _copy_vivit(source / "vit")
    _save("still_mixing", dict(np.load(source / "methods" / "still_mixing.npz")))
    _save_vitta(source / "methods")
    _save("i3d_inception_tiny", dict(np.load(source / "conv" / "i3d_inception_tiny.npz")))
    _save_x3d(source / "conv")
    _save_timesformer_of_hugging_face(source / "vit")
    for name in MOBILENETV2:
        shutil.copy(source / "conv" / f"mobilenetv2_{name}.npz", goldens.FOLDER / "mobilenetv2" / f"{name}.npz")
    _copy_video_resnet(source / "conv")
    _save_dear(source / "methods")
    (goldens.FOLDER / "state_dicts.json").write_text(json.dumps(shapes, separators=(",", ":")) + "\n")


def _save_pretraining(source: pathlib.Path) -> dict[str, list[int]]:
    """Saves what a masked autoencoder computes and the cells of V2's decoder; returns the shapes of the weights."""
    arrays = dict(np.load(source / "vit" / "videomae_pretrain_tiny.npz"))
    seed, shape = int(arrays.pop("video_seed")), tuple(arrays.pop("video_shape"))
    np.testing.assert_array_equal(goldens.seeded_video(seed, shape), goldens.videomae_video())
    np.testing.assert_array_equal(arrays.pop("video_head"), goldens.videomae_video().ravel()[:8])
    methods = np.load(source / "methods" / "videomae.npz")
    _save("videomae_pretrain_tiny", {**arrays, "running_cells_8x14x14": methods["mask/running_cell_all"]})
    shapes: dict[str, list[int]] = json.loads((source / "vit" / "videomae_state_dicts.json").read_text())[
        "pretrain_tiny"
    ]
    return shapes


def _copy_slowfast(source: pathlib.Path) -> None:
    """Copies what is as small as it can be, and the names and shapes of the weights in both naming schemes."""
    for name in SLOWFAST:
        shutil.copy(source / f"{name}.npz", goldens.FOLDER / "slowfast" / f"{name}.npz")
    shapes = json.loads((source / "conv_state_dicts.json").read_text())
    repository = json.loads((source / "conv_names_pytorchvideo_to_slowfast.json").read_text())
    kept = {
        "shapes": {name: shapes[name] for name in SLOWFAST[:4]},
        "slowfast_repository": {name: repository[name] for name in SLOWFAST[:4] if name in repository},
    }
    (goldens.FOLDER / "slowfast" / "names.json").write_text(json.dumps(kept, separators=(",", ":")) + "\n")


def _save_video_swin(source: pathlib.Path) -> None:
    """Saves a file for each kind of windows, and the names and shapes of the weights in both naming schemes."""
    arrays = dict(np.load(source / "video_swin_tiny.npz"))
    shapes = json.loads((source / "video_swin_state_dicts.json").read_text())
    for case in VIDEO_SWIN:
        own = {name.removeprefix(f"{case}/"): value for name, value in arrays.items() if name.startswith(f"{case}/")}
        video = goldens.seeded_video(int(own["video_seed"]), tuple(own["video_shape"]))
        np.testing.assert_array_equal(own.pop("video_head"), video.ravel()[:8])
        _save(f"video_swin/{case}", own)
    authors = json.loads((source / "name_maps.json").read_text())["video_swin_torchvision_to_official"]
    kept = {
        "shapes": {**{case: shapes[f"tiny_{case}"] for case in VIDEO_SWIN[:2]}, "video_swin_t": shapes["swin3d_t"]},
        "authors": {name: authors[name] for name in shapes["tiny_window877"]},
    }
    (goldens.FOLDER / "video_swin" / "names.json").write_text(json.dumps(kept, separators=(",", ":")) + "\n")


def _copy_mvit(source: pathlib.Path) -> None:
    """Copies the tiny network's numbers, and the names and shapes of the weights in both naming schemes."""
    arrays = dict(np.load(source / "mvit_v2_tiny.npz"))
    seed, shape = int(arrays.pop("video_seed")), tuple(arrays.pop("video_shape"))
    np.testing.assert_array_equal(arrays.pop("video_head"), goldens.seeded_video(seed, shape).ravel()[:8])
    np.testing.assert_array_equal(goldens.seeded_video(seed, shape), goldens.mvit_video())
    _save("mvit/mvit_v2_tiny", arrays)
    shapes = json.loads((source / "mvit_state_dicts.json").read_text())
    repository = json.loads((source / "name_maps.json").read_text())["mvit_v2_torchvision_to_slowfast"]
    kept = {
        "shapes": {"mvit_v2_tiny": shapes["tiny"], "mvit_v2_s": shapes["mvit_v2_s"]},
        "slowfast_repository": {name: repository[name] for name in shapes["tiny"]},
    }
    (goldens.FOLDER / "mvit" / "names.json").write_text(json.dumps(kept, separators=(",", ":")) + "\n")


def _copy_vivit(source: pathlib.Path) -> None:
    """Copies the numbers of the tiny networks, and the names and shapes of their weights in both naming schemes."""
    for name in VIVIT:
        arrays = dict(np.load(source / f"{name}.npz"))
        video = goldens.seeded_video(int(arrays["video_seed"]), tuple(arrays["video_shape"]))
        np.testing.assert_array_equal(arrays.pop("video_head"), video.ravel()[:8])
        _save(f"vivit/{name.removeprefix('vivit_')}", arrays)
    scenic = json.loads((source / "vivit_scenic_params.json").read_text())
    names = {key.removeprefix("tiny_"): shapes for key, shapes in scenic.items() if key.startswith("tiny_")}
    names["huggingface"] = json.loads((source / "vivit_hf_state_dicts.json").read_text())["tiny"]
    (goldens.FOLDER / "vivit" / "names.json").write_text(json.dumps(names, separators=(",", ":")) + "\n")


def _save_x3d(source: pathlib.Path) -> None:
    """Saves what X3D computes, and the names and shapes of the weights in both naming schemes."""
    for name in X3D:
        _save(f"x3d/{name}", dict(np.load(source / f"{name}.npz")))
    shapes = json.loads((source / "conv_state_dicts.json").read_text())
    repository = json.loads((source / "conv_names_pytorchvideo_to_slowfast.json").read_text())
    kept = {"shapes": {name: shapes[name] for name in X3D[:2]}, "slowfast_repository": repository["x3d_tiny"]}
    (goldens.FOLDER / "x3d" / "names.json").write_text(json.dumps(kept, separators=(",", ":")) + "\n")


def _save_timesformer_of_hugging_face(source: pathlib.Path) -> None:
    """Keeps the logits of divided space-time attention, and the names and shapes of the weights."""
    arrays = dict(np.load(source / "timesformer_hf_tiny.npz"))
    video = goldens.seeded_video(int(arrays["video_seed"]), tuple(arrays["video_shape"]))
    np.testing.assert_array_equal(arrays["video_head"], video.ravel()[:8])
    kept = {name: arrays[name] for name in ("video_seed", "video_shape")}
    _save("huggingface/timesformer_tiny", {**kept, "logits": arrays["divided_space_time/logits"]})
    shapes = json.loads((source / "timesformer_hf_state_dicts.json").read_text())["tiny_divided_space_time"]
    (goldens.FOLDER / "huggingface" / "names.json").write_text(json.dumps(shapes, separators=(",", ":")) + "\n")


def _save_distillation(source: pathlib.Path) -> None:
    """Keeps two pairs of a temperature and a sharpness."""
    arrays = dict(np.load(source / "distillation.npz"))
    kept = ("student", "teachers", "labels", "T1.0/W1.0/", "T4.0/W10.0/")
    _save("methods/distillation", {name: value for name, value in arrays.items() if name.startswith(kept)})


def _save_semi_supervised(source: pathlib.Path) -> None:
    """Keeps two thresholds, and what is compared."""
    arrays = dict(np.load(source / "semi_supervised.npz"))
    left_out = ("svformer/delta0.95/", "svformer/frame_indices", "sefar/reverse", "sefar/ramp")
    _save("methods/semi_supervised", {name: value for name, value in arrays.items() if not name.startswith(left_out)})


def _copy_video_resnet(source: pathlib.Path) -> None:
    """Copies what is as small as it can be, and the names and shapes of the weights of the tiny networks."""
    for name in VIDEO_RESNET:
        shutil.copy(source / f"{name}.npz", goldens.FOLDER / "video_resnet" / f"{name}.npz")
    shapes = json.loads((source / "conv_state_dicts.json").read_text())
    kept = {name: shapes[name] for name in VIDEO_RESNET[:5]}
    (goldens.FOLDER / "video_resnet" / "shapes.json").write_text(json.dumps(kept, separators=(",", ":")) + "\n")


def _save_dear(source: pathlib.Path) -> None:
    """Keeps the losses and measures that have a counterpart here, of all that is there of DEAR."""
    arrays = dict(np.load(source / "dear_evidence.npz"))
    sums = ("loss_cls", "loss_var", "loss_kl", "succ", "fail", "step10")
    without = {name: value for name, value in arrays.items() if not name.endswith(sums) and "disentangled" not in name}
    _save("dear/evidence", without)
    shutil.copy(source / "open_set_metrics.npz", goldens.FOLDER / "dear" / "open_set_metrics.npz")
    arrays = dict(np.load(source / "dear_debias.npz"))
    unused = ("hsic/biased_alternative/", "hsic/three_rows")  # the same again, and what it gives for too few
    kept = {name: value for name, value in arrays.items() if not name.startswith(unused) and "running" not in name}
    np.savez_compressed(goldens.FOLDER / "dear" / "debias.npz", **kept)


def _save_vitta(source: pathlib.Path) -> None:
    """Keeps inputs, weights and five steps of both networks; gradients show in the weights after the steps."""
    for name in VITTA:
        arrays = dict(np.load(source / f"{name}.npz"))
        kept = {entry: value for entry, value in arrays.items() if not entry.startswith("grad0/")}
        np.savez_compressed(goldens.FOLDER / f"{name}.npz", **kept)


def _without_weights(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is left without the weights, which are functions of their names and shapes."""
    for entry in [entry for entry in arrays if "param/" in entry]:
        value = arrays.pop(entry)
        np.testing.assert_array_equal(goldens.weight(entry.partition("param/")[2], value.shape), value)
    return arrays


def _save(name: str, arrays: dict[str, np.ndarray]) -> None:
    kept = {}
    for entry, value in arrays.items():
        whole = entry.rpartition("/")[2] in WHOLE and "grad/" not in entry
        kept |= {entry: value} if whole else goldens.thin(entry, value)
    np.savez_compressed(goldens.FOLDER / f"{name}.npz", **kept)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=pathlib.Path, help="folder of the full goldens")
    main(parser.parse_args().source)
