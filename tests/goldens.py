"""The goldens: numbers of the authors' PyTorch code that this library must reproduce. See `data/goldens/README.md`."""

import json
import math
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

FOLDER = pathlib.Path(__file__).parent / "data" / "goldens"

KEPT_WHOLE = 4096
"""Arrays of up to this many entries are stored whole."""

STRIDE = 17
"""Of larger arrays, every 17th entry is stored. A prime, so that the entries visit every channel and position."""

_TABLES = ("rpb", "relative_position_bias_table", "class_token", "mask_token", "rel_pos_h", "rel_pos_w", "rel_pos_t")


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The random weights of every golden: one state dict entry as a function of its name and shape alone."""
    x = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    if name.endswith("running_var"):
        return np.abs(x) * np.float32(0.3) + np.float32(0.7)
    if name.endswith("running_mean"):
        return x * np.float32(0.1)
    if name.endswith("num_batches_tracked"):
        return np.array(0, np.int64)
    if name.endswith("weight") and len(shape) == 1:
        return 1 + np.float32(0.1) * x
    if name.endswith("bias"):
        return np.float32(0.1) * x
    if name.endswith(_TABLES):
        return np.float32(0.5) * x
    if len(shape) >= 2:
        return (x / np.sqrt(math.prod(shape[1:]))).astype(np.float32)
    return np.float32(0.1) * x


def state_dict(network: str) -> dict[str, np.ndarray]:
    """The weights of a network (`uniformer_emim_tiny`, ...) under PyTorch's names and in its layouts."""
    return {name: weight(name, shape) for name, shape in state_dict_shapes(network).items()}


def state_dict_shapes(network: str) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights of a network under PyTorch's names."""
    shapes = json.loads((FOLDER / "state_dicts.json").read_text())[network]
    return {name: tuple(shape) for name, shape in shapes.items()}


def vivit_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The random weights of ViViT's goldens: as `weight`, but tables are half a normal, and kernels may be Flax's."""
    x = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    last = name.replace("/", ".").rpartition(".")[2]
    if last.startswith("cls") or last in ("position_embeddings", "pos_embedding"):
        return np.float32(0.5) * x
    if last == "kernel":
        to_heads = len(shape) == 3 and "/out/" not in name  # [in, heads, channels]
        return x / np.float32(np.sqrt(shape[0] if to_heads else math.prod(shape[:-1])))
    return 1 + np.float32(0.1) * x if last == "scale" else weight(name, shape)


def vivit_weights(network: str) -> dict[str, np.ndarray]:
    """The weights of a tiny ViViT: `huggingface`, or one of scenic's models, such as `spacetime`, in its layouts."""
    shapes = json.loads((FOLDER / "vivit" / "names.json").read_text())[network]
    return {name: vivit_weight(name, tuple(shape)) for name, shape in shapes.items()}


def load(name: str) -> dict[str, np.ndarray]:
    """The arrays of one golden file, by name; large ones as `thin` leaves them."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return dict(arrays)


def slowfast_names(kind: str) -> dict[str, Any]:
    """Of each tiny SlowFast network the `shapes` of its weights by name, or its names in the `slowfast_repository`."""
    names: dict[str, Any] = json.loads((FOLDER / "slowfast" / "names.json").read_text())[kind]
    return names


def mvit_names(kind: str) -> dict[str, Any]:
    """The `shapes` of the weights of `mvit_v2_tiny` and `_s` by name, or names in the `slowfast_repository`."""
    names: dict[str, Any] = json.loads((FOLDER / "mvit" / "names.json").read_text())[kind]
    return names


def mvit_state_dict() -> dict[str, np.ndarray]:
    """The weights of the tiny MViTv2 under torchvision's names."""
    return {name: weight(name, tuple(shape)) for name, shape in mvit_names("shapes")["mvit_v2_tiny"].items()}


def mvit_video() -> np.ndarray:
    """The input of the tiny MViTv2, `[2, 8, 64, 64, 3]`."""
    return seeded_video(61, (2, 8, 64, 64, 3))


def slowfast_video(golden: Mapping[str, np.ndarray], which: str = "input/") -> np.ndarray:
    """The input that a golden file of a SlowFast network names by its seed and shape, `[b, t, h, w, 3]`."""
    return seeded_video(int(golden[f"{which}seed"]), tuple(golden[f"{which}shape"]))


def video_swin_names(kind: str) -> dict[str, Any]:
    """Of Video Swin the `shapes` of the weights of each network by name, or the tiny one's names of the `authors`."""
    names: dict[str, Any] = json.loads((FOLDER / "video_swin" / "names.json").read_text())[kind]
    return names


def video_swin_state_dict(network: str) -> dict[str, np.ndarray]:
    """The weights of a Video Swin under torchvision's names."""
    return {name: weight(name, tuple(shape)) for name, shape in video_swin_names("shapes")[network].items()}


def x3d_names() -> dict[str, Any]:
    """Of tiny X3D networks the `shapes` of their weights, and PyTorchVideo's names in the `slowfast_repository`."""
    names: dict[str, Any] = json.loads((FOLDER / "x3d" / "names.json").read_text())
    return names


def video_resnet_weights(network: str) -> dict[str, np.ndarray]:
    """The weights of a tiny video ResNet (`r3d_tiny`, ...) under the names of its authors and in PyTorch's layouts."""
    return {name: weight(name, shape) for name, shape in video_resnet_shapes(network).items()}


def video_resnet_shapes(network: str) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights of a tiny video ResNet under the names of its authors."""
    shapes = json.loads((FOLDER / "video_resnet" / "shapes.json").read_text())[network]
    return {name: tuple(shape) for name, shape in shapes.items()}


def video_resnet_video(golden: Mapping[str, np.ndarray]) -> np.ndarray:
    """The input that a golden file of a video ResNet names by its seed and shape, `[b, t, h, w, 3]`."""
    return seeded_video(int(golden["input/seed"]), tuple(golden["input/shape"]))


def tiny_video() -> np.ndarray:
    """The input of the tiny networks, `[2, 16, 64, 64, 3]`."""
    return _random_video(seed=7, batch=2, size=64)


def small_video() -> np.ndarray:
    """The input of the full UniFormer-S, `[1, 16, 224, 224, 3]`."""
    return _random_video(seed=21, batch=1, size=224)


def resnet_video() -> np.ndarray:
    """The input of the ResNets, `[2, 8, 64, 64, 3]`."""
    video = np.random.default_rng(13).standard_normal((2, 8, 3, 64, 64))
    return np.moveaxis(video.astype(np.float16).astype(np.float32), 2, -1)


def timesformer_video() -> np.ndarray:
    """The input of the TimeSformers, `[2, 8, 64, 64, 3]`."""
    video = np.random.default_rng(11).standard_normal((2, 3, 8, 64, 64))
    return np.moveaxis(video.astype(np.float16).astype(np.float32), 1, -1)


def seeded_video(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """A clip `[b, t, h, w, 3]` of random numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float16).astype(np.float32)


def videomae_video() -> np.ndarray:
    """The input of the tiny VideoMAEs, `[2, 8, 64, 64, 3]`."""
    return seeded_video(31, (2, 8, 64, 64, 3))


def videomae_base_video() -> np.ndarray:
    """The input of VideoMAE-B, `[1, 16, 224, 224, 3]`."""
    return seeded_video(32, (1, 16, 224, 224, 3))


def _random_video(seed: int, batch: int, size: int) -> np.ndarray:
    video = np.random.default_rng(seed).standard_normal((batch, 3, 16, size, size)).astype(np.float32)
    return np.moveaxis(video.astype(np.float16).astype(np.float32), 1, -1)


def thin(name: str, array: np.ndarray) -> dict[str, np.ndarray]:
    """What is stored of an array: all of a small one; every 17th entry and the Euclidean norm of a large one."""
    if array.size <= KEPT_WHOLE:
        return {name: array}
    return {name: array.ravel()[::STRIDE], f"{name}:norm": np.linalg.norm(array.astype(np.float64).ravel())}


def assert_matches(
    golden: Mapping[str, np.ndarray], name: str, actual: np.ndarray, *, rtol: float, atol: float
) -> None:
    """Compares an array with the entry `name` of a golden file, and its norm where only a part of it is stored."""
    for key, value in thin(name, np.asarray(actual)).items():
        tolerance = atol if key == name else 0.0
        np.testing.assert_allclose(value, golden[key], rtol=rtol, atol=tolerance, err_msg=key)


def assert_gradient_matches(golden: Mapping[str, np.ndarray], name: str, actual: np.ndarray) -> None:
    """Compares a gradient with relative tolerance 1e-3 and absolute tolerance 1e-4 of the tensor's largest value."""
    assert_matches(golden, name, actual, rtol=1e-3, atol=1e-4 * float(np.abs(golden[name]).max()))
