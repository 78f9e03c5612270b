"""Makes hostile and damaged inputs from good ones, the same for the same seed."""

import functools
import io
import json
import math
import pathlib
import random
import shutil
import struct
import tempfile
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import safetensors.numpy
import torch
from hostile_sizes import sized_recipe, sized_weights
from small_trained_model import small_trained_model
from text_mutations import mutated
from video_mutations import mutants

from motion_vit.training.checkpoints.weights_folder import write_weights_folder
from motion_vit.training.recipe.config import default_config, flatten

_CODECS = {"mp4": "libx264", "mkv": "libx264", "avi": "mpeg4", "webm": "libvpx", "mov": "mjpeg"}
_PLAYLISTS = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 0.0.0.0\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "ffconcat version 1.0\nfile /etc/passwd\n",
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>http://127.0.0.1/</BaseURL></MPD>',
)
_EXTREMES: tuple[Any, ...] = (
    *(0, -1, 1, 3, 10**6, 10**9, 2**31, 2**63, 10**30, -(10**9), 1e-308, 1e308, math.nan, math.inf, -math.inf, 0.5),
    *("", "nan", "x" * 10_000, "\0", "gs://bucket/x", "/dev/zero", "$(id)", "\u202egnp", None, True, False),
    *([], [0], [1, 2, 3, 4], [10**9] * 4, ["a"], [None], [[1]], {}, {"a": 1}, [1e308, -1e308], [-1, -1, -1, -1]),
)


def write_input(kind: str, seed: int, folder: pathlib.Path) -> pathlib.Path:
    """Writes an input.

    Args:
      kind: one of `KINDS`.
      seed: fixes everything about it.
      folder: an empty folder.

    Returns:
      The file, or the folder where the kind is of folders.
    """
    return KINDS[kind](random.Random(f"{kind} {seed}"), folder)


def _video(rng: random.Random, folder: pathlib.Path) -> pathlib.Path:
    originals = _videos()
    if rng.random() < 0.1:
        path = folder / f"clip.{rng.choice(sorted(_CODECS))}"
        path.write_text(rng.choice(_PLAYLISTS))
        return path
    seed, number = rng.randrange(2**31), rng.randrange(64)
    *_, damaged = mutants(originals, seed, number + 1)
    path = folder / f"clip{pathlib.Path(damaged.name.split(',')[0]).suffix}"
    path.write_bytes(damaged.data)
    return path


@functools.cache
def _videos() -> dict[str, bytes]:
    found = {}
    pictures = np.random.default_rng(0).integers(0, 256, (8, 32, 48, 3), dtype=np.uint8)
    for ending, codec in _CODECS.items():
        buffer = io.BytesIO()
        container_format = {"mkv": "matroska"}.get(ending, ending)
        with av.open(buffer, "w", format=container_format) as container:
            stream = container.add_stream(codec, rate=12)
            stream.width, stream.height = 48, 32
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for picture in pictures:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        found[f"clip.{ending}"] = buffer.getvalue()
    return found


def _list(rng: random.Random, folder: pathlib.Path) -> pathlib.Path:
    for number in range(4):
        (folder / f"v{number}.mp4").write_bytes(b"no video")
    rows = [f"v{number}.mp4,class {number % 2},{number + 2},{number / 2},{number + 1.5}" for number in range(4)]
    text = "\n".join(["path,label,frames,start,end", *rows]) + "\n"
    if rng.random() < 0.5:
        cell = str(rng.choice(_EXTREMES))
        lines = text.split("\n")
        line = rng.randrange(1, 5)
        cells = lines[line].split(",")
        cells[rng.randrange(len(cells))] = cell
        lines[line] = ",".join(cells)
        data = "\n".join(lines).encode("utf-8", "surrogatepass")
    else:
        data = mutated(text.encode(), rng.randrange(2**31))
    path = folder / "list.csv"
    path.write_bytes(data)
    return path


def _recipe(rng: random.Random, folder: pathlib.Path) -> pathlib.Path:
    fields = list(flatten(default_config()))
    options = ["widths", "depths", "window", "head_channels", "mlp_ratio", "dropout", "dtype", "patch_sizes", "what"]
    names = rng.choices([*fields, *(f"model.options.{name}" for name in options)], k=rng.randint(1, 3))
    path = folder / "fields.json"
    values = _EXTREMES if rng.random() < 0.7 else (1, 2, 3, 4, 8, 0.5)
    path.write_text(json.dumps({name: rng.choice(values) for name in names}))
    return path


def _foreign_weights(rng: random.Random, folder: pathlib.Path) -> pathlib.Path:
    arrays = {"head.weight": np.ones((10, 128), np.float32), "head.bias": np.zeros(10, np.float32)}
    ending = rng.choice(["safetensors", "npz", "pth"])
    path = folder / f"weights.{ending}"
    if ending == "safetensors" and rng.random() < 0.5:
        rows = rng.choice([10**9, 2**62, -1, 0, 10])
        size = rng.choice([40, 4 * 10**9, 2**63 - 1])
        header = {"head.bias": {"dtype": rng.choice(["F32", "BF16", "X9"]), "shape": [rows], "data_offsets": [0, size]}}
        encoded = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", rng.choice([len(encoded), 2**40])) + encoded + bytes(40))
        return path
    if ending == "safetensors":
        safetensors.numpy.save_file(arrays, path)
    elif ending == "npz":
        np.savez(path, **arrays)
    else:
        torch.save({"model": {name: torch.tensor(array) for name, array in arrays.items()}}, path)
    _damage(path, rng)
    return path


@functools.cache
def _good_folder() -> pathlib.Path:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="motion_vit_fuzz_")) / "good"
    write_weights_folder(folder, small_trained_model())
    return folder


def _weights_folder(rng: random.Random, folder: pathlib.Path) -> pathlib.Path:
    target = folder / "weights"
    shutil.copytree(_good_folder(), target)
    _damage(target / "model.safetensors", rng)
    return target


def _description(rng: random.Random, folder: pathlib.Path) -> pathlib.Path:
    target = folder / "weights"
    shutil.copytree(_good_folder(), target)
    path = target / "config.json"
    if rng.random() < 0.3:
        path.write_bytes(mutated(path.read_bytes(), rng.randrange(2**31)))
        return target
    values = json.loads(path.read_text())
    node, key = values, rng.choice(sorted(values))
    while isinstance(node[key], dict) and node[key] and rng.random() < 0.8:
        node, key = node[key], rng.choice(sorted(node[key]))
    node[key] = rng.choice(_EXTREMES)
    if rng.random() < 0.7:
        values["checksum"] = None  # as of a file that was edited by hand: otherwise nothing else is looked at
    path.write_text(json.dumps(values))
    return target


def _damage(path: pathlib.Path, rng: random.Random) -> None:
    """Flips a bit, zeroes, scrambles or cuts a file."""
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data))
    match rng.randrange(4):
        case 0:
            data[at] ^= 1 << rng.randrange(8)
        case 1:
            data[at : at + 64] = bytes(len(data[at : at + 64]))
        case 2:
            data[at : at + 64] = rng.randbytes(len(data[at : at + 64]))
        case _:
            del data[at:]
    path.write_bytes(data)


KINDS: dict[str, Callable[[random.Random, pathlib.Path], pathlib.Path]] = {
    "video": _video,
    "list": _list,
    "recipe": _recipe,
    "foreign weights": _foreign_weights,
    "weights folder": _weights_folder,
    "description": _description,
    "sized recipe": sized_recipe,
    "sized weights": sized_weights,
}
