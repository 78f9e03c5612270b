"""Files that mean harm: nothing in them runs, memory and time stay small, and the message says what is wrong.

All are loaded in one process, which measures the largest memory that each takes, and whose address
space is limited, so that a failure ends that process and not the machine.
"""

import collections
import io
import json
import os
import pickle
import pickletools
import random
import re
import struct
import subprocess
import sys
import zipfile

import goldens
import numpy as np
import pytest
import safetensors.numpy

import motion_vit
from motion_vit.interop.files.stored_tensor import DamagedFileError, MoreThanWeightsError
from motion_vit.interop.files.torch_pickle import read_pickle
from motion_vit.interop.importing.state_dict import load_torch

MEBIBYTE = 2**20
BOMB = 200 * MEBIBYTE
"""What each bomb expands to: far more than it takes on the disk, and than the model does."""

_LOADER = r"""
import json, pathlib, re, resource, sys, time
import motion_vit
from motion_vit.interop.importing.state_dict import load_torch

def mebibytes(name):
    return int(re.search(name + r":\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) / 1024

folder = pathlib.Path(sys.argv[1])
model = motion_vit.create_model("uniformer_emim_tiny")
load_torch(model, folder / "good.npz")
limit = int(mebibytes("VmSize") + 1024) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sorted(folder.iterdir()):
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the largest memory is measured from here
    before, start = mebibytes("VmRSS"), time.monotonic()
    try:
        message = str(load_torch(model, path, strict=False)[1])
    except motion_vit.UserError as error:
        message = str(error)
    grown = mebibytes("VmHWM") - before
    result = {"message": message, "mebibytes": grown, "seconds": time.monotonic() - start}
    print(json.dumps({path.name: result}), flush=True)
"""


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value):
    return b"\x8a\x0a" + value.to_bytes(10, "little")


def tensor_pickle(*, storage_size, shape, strides):
    """A pickle of a head whose shape, strides and storage are what it says, true or not."""
    storage = (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(storage_size) + b"tQ"
    )
    sizes, steps = (b"(" + b"".join(map(number, numbers)) + b"t" for numbers in (shape, strides))
    view = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(0) + sizes + steps + b"\x89}tR"
    return b"\x80\x02}" + text("head.weight") + view + b"s."


def write_archive(path, content, storage=b"", compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", content)
        archive.writestr("weights/data/0", storage, compress_type=compression)


def write_torch_files(folder):
    head = {"shape": (10, 128), "strides": (128, 1)}
    zeros = bytes(BOMB)
    write_archive(
        folder / "compressed_storage.pth", tensor_pickle(storage_size=1280, **head), zeros, zipfile.ZIP_DEFLATED
    )
    with zipfile.ZipFile(folder / "compressed_pickle.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights/data.pkl", zeros)
    write_archive(folder / "lie_about_storage.pth", tensor_pickle(storage_size=1280, **head), bytes(12))
    write_archive(folder / "beyond_storage.pth", tensor_pickle(storage_size=5, **head), bytes(20))
    huge = tensor_pickle(storage_size=2**62, shape=(2**31, 2**31), strides=(2**31, 1))
    write_archive(folder / "huge_storage.pth", huge, bytes(20))
    endless = tensor_pickle(storage_size=1, shape=(2**31, 2**31), strides=(0, 0))
    write_archive(folder / "endless_view.pth", endless, bytes(4))
    write_archive(folder / "huge_memo.pth", b"\x80\x02]r\xff\xff\xff\x7f.")
    write_archive(folder / "huge_text.pth", b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"abc.")
    allocation = b"\x80\x02cbuiltins\nbytearray\n" + number(2**36) + b"\x85R."
    write_archive(folder / "bytearray.pth", allocation)
    doubled = b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(60))
    write_archive(folder / "nested_key.pth", b"\x80\x02}K\x00" + doubled + b"K\x01s.")
    write_archive(folder / "nested_name.pth", b"\x80\x04K\x00" + doubled + b"\x8c\x01a\x93.")
    # Numbers that all have the hash 0: of keys, and of the places where values are kept.
    equal = [places * (2**61 - 1) for places in range(150_000)]
    keys = b"".join(b"\x8a\x0a" + key.to_bytes(10, "little") + b"N" for key in equal)
    write_archive(folder / "equal_hashes.pth", b"\x80\x02}(" + keys + b"u.")
    write_archive(folder / "equal_places.pth", b"N" + b"".join(b"p%d\n" % key for key in equal[:80_000]) + b".")
    long = b"X" + struct.pack("<I", 500_000) + b"a" * 500_000
    pairs = b"h\x00Nsh\x01Ns" * 120_000
    write_archive(folder / "long_keys.pth", b"\x80\x02" + long + b"q\x00" + long + b"q\x01}" + pairs + b".")
    write_archive(folder / "nested_value.pth", b"\x80\x02}" + text("model") + b"K\x00" + doubled + b"s.")
    write_archive(folder / "deep_lists.pth", b"\x80\x02}" + text("model") + b"]" * 300_000 + b"a" * 299_999 + b"s.")
    write_archive(folder / "itself.pth", b"\x80\x02}q\x00" + text("model") + b"h\x00s.")
    write_archive(folder / "long_pickle.pth", b"\x80\x02" + b"]" * 3 * MEBIBYTE + b".")
    write_archive(folder / "many_instructions.pth", b"\x80\x02" + b"]" * 10**6 + b".")
    (folder / "cut_archive.pth").write_bytes((folder / "itself.pth").read_bytes()[:-30])
    start = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
    one = pickle.dumps(["0"], 2)
    (folder / "huge_legacy.pt").write_bytes(start + huge + one + struct.pack("<Q", 2**62))
    twice = pickle.dumps(["0", "0"], 2)
    (folder / "far_legacy.pt").write_bytes(start + huge + twice + struct.pack("<Q", 2**63) + bytes(64))
    (folder / "nested_legacy.pt").write_bytes(start + huge + b"\x80\x02](K\x00" + doubled + b"e." + bytes(64))
    (folder / "number_legacy.pt").write_bytes(start + huge + pickle.dumps(5, 2) + bytes(64))


def write_npz_files(folder, weights):
    np.savez_compressed(folder / "bomb.npz", **{**weights, "head.weight": np.zeros(BOMB // 4, np.float32)})
    np.savez(folder / "objects.npz", **{"head.weight": np.array([print], dtype=object)})
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }\n"
    with zipfile.ZipFile(folder / "huge_claim.npz", "w") as archive:
        claim = (header % 2**50).encode()
        archive.writestr("head.weight.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(claim)) + claim + bytes(8))
    with zipfile.ZipFile(folder / "huge_header.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("head.weight.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", BOMB) + bytes(BOMB))


def write_safetensors_files(folder):
    def write(name, header, data=b""):
        content = json.dumps(header).encode()
        (folder / name).write_bytes(struct.pack("<Q", len(content)) + content + data)

    (folder / "huge_header.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    tensor = {"dtype": "F32", "shape": [10, 128]}
    write("huge_offsets.safetensors", {"head.weight": tensor | {"data_offsets": [0, 2**60]}}, bytes(8))
    overlapping = {name: tensor | {"data_offsets": [0, 5120]} for name in ("head.weight", "head.other")}
    write("overlap.safetensors", overlapping, bytes(5120))
    write(
        "huge_shape.safetensors", {"head.weight": tensor | {"shape": [2**40, 2**40], "data_offsets": [0, 8]}}, bytes(8)
    )


EXPECTED = {
    "compressed_storage.pth": "data/0 is compressed, which torch.save never does",
    "compressed_pickle.pth": "data.pkl is compressed, which torch.save never does",
    "lie_about_storage.pth": "claims 1280 numbers of float32 for a tensor, which has 12 bytes",
    "beyond_storage.pth": r"shape \(10, 128\) reaches beyond the 5 numbers",
    "huge_storage.pth": "1 misshapen",
    "endless_view.pth": "1 misshapen",
    "huge_memo.pth": "at a place that no pickler gives",
    "huge_text.pth": "not one of torch.save",
    "bytearray.pth": r"is refused: it holds more than weights \(builtins.bytearray\)",
    "nested_key.pth": "holds no weights",
    "nested_name.pth": "an object without a name",
    "equal_hashes.pth": "holds no weights",
    "equal_places.pth": "at a place that no pickler gives",
    "long_keys.pth": "holds no weights",
    "nested_value.pth": "its entry 'model' is a tuple",
    "deep_lists.pth": "its entry 'model' is a list",
    "itself.pth": "its entry 'model' is a dict",
    "long_pickle.pth": "data.pkl claims 3145731 bytes; 2097152 can be",
    "many_instructions.pth": "holds a list",
    "cut_archive.pth": "the end of the archive is missing",
    "huge_legacy.pt": "1 misshapen",
    "far_legacy.pt": "it ends before its weights do",
    "nested_legacy.pt": "its list of weights is not that of the weights before it",
    "number_legacy.pt": "its list of weights is not that of the weights before it",
    "bomb.npz": r"head.weight \(52428800,\) in the source, \(10, 128\) in the model",
    "objects.npz": "holds Python objects, which may be code, not numbers",
    "huge_claim.npz": r"an array \(1125899906842624,\) of float32 takes",
    "huge_header.npz": "cannot be read as an npz file",
    "huge_header.safetensors": "cannot be read as a safetensors file",
    "huge_offsets.safetensors": "cannot be read as a safetensors file",
    "overlap.safetensors": "cannot be read as a safetensors file",
    "huge_shape.safetensors": "cannot be read as a safetensors file",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    weights = goldens.state_dict("uniformer_emim_tiny")
    np.savez(folder / "good.npz", **weights)
    write_torch_files(folder)
    write_npz_files(folder, weights)
    write_safetensors_files(folder)
    done = subprocess.run(
        [sys.executable, "-c", _LOADER, str(folder)],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {}
    for line in done.stdout.splitlines():
        found |= json.loads(line)
    return found


@pytest.mark.slow
def test_every_file_is_expected_to_lead_to_something(outcomes):
    assert outcomes.keys() - {"good.npz"} == EXPECTED.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_a_hostile_file_takes_little_memory_and_time_and_is_explained(outcomes, name):
    outcome = outcomes[name]
    assert re.search(EXPECTED[name], outcome["message"]), outcome["message"]
    assert len(outcome["message"]) < 20_000
    assert outcome["mebibytes"] < 100
    assert outcome["seconds"] < 30


def read(content):
    return read_pickle(io.BytesIO(content), lambda storage: np.zeros(1, np.float32))[0]


@pytest.mark.parametrize("key", [0, 2**61 - 1, 2**70, -5, 0.5, True, None, (1, 2), b"a", "a" * 1001])
@pytest.mark.parametrize("protocol", [2, 4])
def test_mappings_keep_what_has_a_name_and_look_up_nothing_else(key, protocol):
    saved = {"model": {"a" * 1000: 1, key: 2}, key: {"a": 3}, "list": [{key: 4}], "tuple": ({key: 5, "b": 6},)}
    kept = {"model": {"a" * 1000: 1}, "list": [{}], "tuple": ({"b": 6},)}
    assert read(pickle.dumps(saved, protocol)) == kept


@pytest.mark.parametrize("place", [-1, 2**21, 2**61 - 1, 10**30])
def test_values_are_kept_at_small_places_alone(place):
    with pytest.raises(DamagedFileError, match="at a place that no pickler gives"):
        read(b"Np%d\n." % place)
    with pytest.raises(DamagedFileError, match="a value is taken that was not kept"):
        read(b"Np0\ng%d\n." % place)


def test_values_that_are_numbered_from_1_on_or_with_gaps_are_found():
    # Python 2 counts from 1.
    assert read(b"(U\x01aq\x01U\x01bq\x07h\x01h\x07t.") == ("a", "b", "a", "b")


CODE = {
    "protocol 0": b"cposix\nsystem\n(S'true'\ntR.",
    "an instance": b"(S'true'\niposix\nsystem\n.",
    "protocol 4": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
    "beside the weights": b"\x80\x02}" + text("epoch") + b"cposix\nsystem\n" + text("true") + b"\x85Rs.",
    "of PyTorch": b"\x80\x02ctorch.hub\nload\n" + text("owner/name") + b"\x85R.",
    "of NumPy": b"\x80\x02cnumpy.testing._private.utils\nrunstring\n" + text("print()") + b"}\x86R.",
    "an attribute": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2.__globals__\n.",
}


@pytest.mark.parametrize("form", ["archive", "legacy"])
@pytest.mark.parametrize("code", CODE)
def test_code_in_a_pickle_is_named_and_not_executed(tmp_path, code, form):
    path = tmp_path / "hostile.pth"
    if form == "archive":
        write_archive(path, CODE[code])
    else:
        path.write_bytes(CODE[code])
    model = motion_vit.create_model("uniformer_emim_tiny")
    name = r"posix\.system|torch\.hub\.load|numpy\.testing\._private\.utils\.runstring|_v2\.__globals__"
    with pytest.raises(motion_vit.UserError, match=rf"is refused: it holds more than weights \([\w.]*({name})\)"):
        load_torch(model, path)


def test_a_pickle_with_changed_bytes_is_read_or_refused_and_leads_to_no_other_error():
    original = tensor_pickle(storage_size=1280, shape=(10, 128), strides=(128, 1))
    instructions = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]
    draw = random.Random(5)
    outcomes = collections.Counter()
    for _ in range(3000):
        changed = bytearray(original)
        for _ in range(draw.choice([1, 2, 4, 8])):
            place = draw.randrange(2, len(changed))
            changed[place : place + draw.choice([0, 1, 3])] = draw.choice(instructions)
        try:
            read_pickle(io.BytesIO(bytes(changed)), lambda storage: np.zeros(1, np.float32))
            outcomes["read"] += 1
        except (DamagedFileError, MoreThanWeightsError) as error:
            outcomes[type(error)] += 1
    assert len(outcomes) == 3


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_weights_that_are_no_finite_float32_numbers_are_named(tmp_path, value):
    weights = goldens.state_dict("uniformer_emim_tiny")
    weights["norm.bias"] = weights["norm.bias"].astype(np.float64)
    weights["norm.bias"][3] = value
    np.savez(tmp_path / "weights.npz", **weights)
    with pytest.raises(motion_vit.UserError, match=r"weights\.npz are NaN or infinite: norm\.bias"):
        load_torch(motion_vit.create_model("uniformer_emim_tiny"), tmp_path / "weights.npz")


@pytest.mark.parametrize(
    "header", ["{'descr': (", "-" * 9000 + "1", "{'descr': '<f4', 1: False, 'shape': (2,)}", "{'descr': ('<f4',)}"]
)
def test_a_header_that_is_no_header_of_an_array_is_explained(tmp_path, header):
    with zipfile.ZipFile(tmp_path / "weights.npz", "w") as archive:
        text = header.encode() + b"\n"
        archive.writestr("head.bias.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(motion_vit.UserError, match=r"weights\.npz cannot be read as an npz file"):
        load_torch(motion_vit.create_model("uniformer_emim_tiny"), tmp_path / "weights.npz")


@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_what_is_no_regular_file_is_not_opened(tmp_path, kind):
    path = tmp_path / "weights.pth"
    if kind == "fifo":
        os.mkfifo(path)  # opening it would wait for a writer
    else:
        path.symlink_to("/dev/zero")  # reading it would not end
    with pytest.raises(motion_vit.UserError, match=r"the path is not a file"):
        load_torch(motion_vit.create_model("uniformer_emim_tiny"), path)


@pytest.mark.parametrize("suffix", ["pth", "npz", "safetensors"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95, 0.999])
def test_a_file_that_was_cut_off_anywhere_is_reported(tmp_path, suffix, share):
    path = tmp_path / f"weights.{suffix}"
    if suffix == "safetensors":
        safetensors.numpy.save_file(goldens.state_dict("uniformer_emim_tiny"), path)
    elif suffix == "npz":
        np.savez(path, **goldens.state_dict("uniformer_emim_tiny"))
    else:
        write_archive(path, tensor_pickle(storage_size=1280, shape=(10, 128), strides=(128, 1)), bytes(5120))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(motion_vit.UserError, match=r"cannot be read as .*damaged, incomplete"):
        load_torch(motion_vit.create_model("uniformer_emim_tiny"), path)


def test_a_changed_bit_in_an_archive_is_noticed(tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, **goldens.state_dict("uniformer_emim_tiny"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(motion_vit.UserError, match="Bad CRC-32"):
        load_torch(motion_vit.create_model("uniformer_emim_tiny"), path)
