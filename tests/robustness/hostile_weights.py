"""Makes hostile and damaged weights: files of other frameworks, and weights folders."""

import functools
import io
import json
import os
import pathlib
import pickle
import random
import shutil
import struct
import zipfile
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from damage import damage_file, damage_folder
from good_inputs import FOREIGN, WEIGHTS
from hostile_values import EXTREMES, hostile_json, set_somewhere

_DTYPES = ("F32", "BF16", "I8", "F64", "I64", "BOOL", "F8_E4M3", "X9", "", 3, None)


def hostile_foreign_weights(rng: random.Random, folder: pathlib.Path, good: pathlib.Path) -> pathlib.Path:
    """Writes a file of weights, as `motion-vit import` takes it.

    Args:
      rng: fixes everything, but for the bytes of files of `torch.save`.
      folder: for the file.
      good: of `write_good_inputs`.

    Returns:
      The file.
    """
    kind = rng.choice(["safetensors", "npz", "pth"])
    path = folder / f"weights.{rng.choice(['pt', 'pyth']) if kind == 'pth' and rng.random() < 0.3 else kind}"
    shutil.copy(good / FOREIGN / f"weights.{kind}", path)
    if rng.random() < 0.5:
        damage_file(path, rng)
    elif kind == "safetensors":
        path.write_bytes(_safetensors(rng))
    elif kind == "npz":
        _write_npz(path, rng)
    else:
        _write_pickle(path, rng)
    return path


def hostile_weights_folder(rng: random.Random, folder: pathlib.Path, good: pathlib.Path) -> pathlib.Path:
    """Writes a weights folder whose file of weights is damaged, or holds other tensors.

    Args:
      rng: fixes everything.
      folder: for the weights folder.
      good: of `write_good_inputs`.

    Returns:
      The weights folder.
    """
    target = pathlib.Path(shutil.copytree(good / WEIGHTS, folder / "weights"))
    weights = target / "model.safetensors"
    draw = rng.random()
    if draw < 0.5:
        damage_folder(target, rng, weights.name)
    elif draw < 0.7:
        weights.write_bytes(_safetensors(rng))
    else:
        arrays = safetensors.numpy.load_file(weights)
        name = rng.choice(sorted(arrays))
        match rng.randrange(6):
            case 0:
                arrays["params/more"] = arrays[name]
            case 1:
                del arrays[name]
            case 2:
                arrays[name] = arrays[name][:1]
            case 3:
                arrays[name] = arrays[name].astype(rng.choice([np.float64, np.int32, np.float16, np.bool_]))
            case 4:
                arrays[name] = np.full_like(arrays[name], rng.choice([np.nan, np.inf, -np.inf]))
            case _:
                arrays[f"{name}/../x"] = arrays.pop(name)
        safetensors.numpy.save_file(arrays, weights)
        if rng.random() < 0.5:  # as of a folder of an older version, which has no checksum of the file
            values = json.loads((target / "config.json").read_text())
            (target / "config.json").write_text(json.dumps(values | {"files": {}, "checksum": None}))
    return target


def hostile_description(rng: random.Random, folder: pathlib.Path, good: pathlib.Path) -> pathlib.Path:
    """Writes a weights folder whose `config.json` is damaged or edited.

    Args:
      rng: fixes everything.
      folder: for the weights folder.
      good: of `write_good_inputs`.

    Returns:
      The weights folder.
    """
    target = pathlib.Path(shutil.copytree(good / WEIGHTS, folder / "weights"))
    path = target / "config.json"
    if rng.random() < 0.3:
        path.write_bytes(hostile_json(path.read_bytes(), rng))
        return target
    values = json.loads(path.read_text())
    set_somewhere(values, rng.choice(EXTREMES), rng)
    if rng.random() < 0.7:
        values["checksum"] = None  # as of a file that was edited by hand: otherwise nothing else is looked at
    path.write_text(json.dumps(values))
    return target


def _safetensors(rng: random.Random) -> bytes:
    """A file whose header claims what is not so."""

    def entry() -> dict[str, Any]:
        start = rng.choice([0, 0, 8, -8, 40, 2**62])
        return {
            "dtype": rng.choice([*["F32"] * 6, *_DTYPES]),
            "shape": rng.choice([[10], [10, 1], [10**9], [2**62], [-1], [0], [], [2**32, 2**32], ["10"], None, [1.5]]),
            "data_offsets": rng.choice([[start, start + 40], [0, 4 * 10**9], [0, 2**63 - 1], [40, 0], [0], None]),
        }

    header = {name: entry() for name in ("head.bias", "head.weight", "params/head/bias")[: rng.randint(1, 3)]}
    if rng.random() < 0.2:
        header["__metadata__"] = rng.choice([{"a": "b"}, {"a": 1}, [], None, {"x" * 1000: "y" * 10_000}])
    encoded = json.dumps(header).encode()
    if rng.random() < 0.2:
        encoded = rng.choice([b"[" * 10_000, b'{"a":' * 10_000, b"", b"{}", b'{"a": 1, "a": 2}', b"\xff\xfe", b"null"])
    length = rng.choice([*[len(encoded)] * 4, 2**40, 2**64 - 1, 0, len(encoded) + 10**6])
    return struct.pack("<Q", length) + encoded + bytes(40)


def _write_npz(path: pathlib.Path, rng: random.Random) -> None:
    """Archives of arrays that are large, nested, pickled, of other forms, or doubled."""
    array = np.ones((10, 128), np.float32)
    match rng.randrange(8):
        case 0:  # a compressed member that expands to what the model does not ask for
            np.savez_compressed(path, **{rng.choice(["head.more", "norm.bias"]): np.zeros(30 * 10**6, np.float32)})
        case 1:
            np.savez(path, **{"head.weight": np.array([_Called()], object)}, allow_pickle=True)
        case 2:
            np.savez(path, **{"head.weight": np.asfortranarray(array), "head.bias": array[0, :10]})
        case 3:
            dtype = rng.choice(["<c8", ">f4", "<f8", "<i4", "|b1", "<U4", "<M8[s]", "V4"])
            np.savez(path, **{"head.weight": np.zeros((10, 128), dtype)})
        case 4:
            _write_member(path, _npy(rng.choice(["(2**62,)", "(10,128)", "(-1,)", "(10,)*99", "()", "(10.0,)", "'a'"])))
        case 5:
            _write_member(path, _npy("(10,128)", "[('a','<f4'),('b','O')]"))
        case 6:
            _write_member(path, _npy("(10,128)") + bytes(5120), copies=2)
        case _:
            _write_member(path, rng.choice([b"", b"\x93NUMPY", b"\x93NUMPY\x09\x00" + bytes(9), _npy("(" * 5000)]))


def _npy(shape: str, dtype: str = "'<f4'") -> bytes:
    text = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text


def _write_member(path: pathlib.Path, content: bytes, copies: int = 1) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(copies):
            name = "head.weight.npy" if number == 0 else "head.weight"
            archive.writestr(zipfile.ZipInfo(name), content)


class _Called:
    """Would make a folder in the place where pickles run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (CALLED,)


CALLED = "/tmp/motion_vit_ran_a_hostile_pickle"
"""This folder is made if a pickle of a hostile file runs."""


def _write_pickle(path: pathlib.Path, rng: random.Random) -> None:
    """Pickles that call something, refer to themselves, are deep, or claim much; in an archive or without one."""
    match rng.randrange(6):
        case 0:
            torch.save({"model": {"head.weight": torch.ones(10, 128)}, "other": _Called()}, path)
            return
        case 1:
            torch.save({"model": {"head.weight": rng.choice(EXTREMES), "head.bias": torch.ones(10)}}, path)
            return
        case 2:
            torch.save({"head.weight": torch.ones(10, 128).to_sparse()}, path)
            return
    content = rng.choice(_pickles())
    if rng.random() < 0.5:
        path.write_bytes(content)
        return
    with zipfile.ZipFile(path, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        archive.writestr(zipfile.ZipInfo("weights/data.pkl"), content)
        archive.writestr(zipfile.ZipInfo("weights/data/0"), bytes(40))


@functools.cache
def _pickles() -> tuple[bytes, ...]:
    itself: list[Any] = []
    itself.append(itself)
    buffer = io.BytesIO()
    torch.save({"head.weight": torch.ones(10, 128)}, buffer, _use_new_zipfile_serialization=False)
    return (
        pickle.dumps(_Called()),
        pickle.dumps({"head.weight": itself}),
        b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
        b"\x80\x02" + b"(" * 100_000 + b".",
        b"\x80\x02]" + b"2" * 100_000 + b".",
        b"\x80\x02\x8e" + struct.pack("<Q", 2**62) + b".",
        b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R.",
        b"\x80\x02cbuiltins\neval\nX\x03\x00\x00\x001+1\x85R.",
        b"\x80\x02N" + b"0" * 10 + b".",
        b"\x80\x02I" + b"9" * 10_000 + b"\n.",
        buffer.getvalue(),
        buffer.getvalue()[:-100],
    )
