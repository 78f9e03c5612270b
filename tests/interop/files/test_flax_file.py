"""Files of Flax's serialization, as Flax writes them and as somebody who means harm does."""

import random
import struct

import jax.numpy as jnp
import numpy as np
import pytest
from flax import serialization

from motion_vit.errors import UserError
from motion_vit.interop.files.torch_files import open_state_dict

WEIGHTS = {
    "block": {"kernel": np.arange(60, dtype=np.float32).reshape(3, 4, 5), "bias": np.full(3, 0.5, np.float16)},
    "cls": jnp.arange(4, dtype=jnp.bfloat16),
}
STATES = {
    "weights": WEIGHTS,
    "state": {"params": WEIGHTS, "step": 7, "rng": np.zeros(2, np.uint32), "model_state": {}, "rate": 0.5, "ema": None},
    "old_state": {"optimizer": {"target": {"params": WEIGHTS}, "state": {"step": np.int32(3)}}, "phase": 1 + 2j},
}


def read(path):
    with open_state_dict(path) as state_dict:
        return {name: tensor.read() for name, tensor in state_dict.tensors.items()}


@pytest.mark.parametrize("chunk", [2**30, 100], ids=["whole", "in_pieces"])
@pytest.mark.parametrize("state", STATES)
def test_the_weights_of_a_state_are_read_under_nested_names(state, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", chunk)
    path = tmp_path / "checkpoint_30"
    path.write_bytes(serialization.msgpack_serialize(STATES[state]))
    found = read(path)
    assert found.keys() == {"block/kernel", "block/bias", "cls"}
    np.testing.assert_array_equal(found["block/kernel"], WEIGHTS["block"]["kernel"])
    np.testing.assert_array_equal(found["block/bias"], [0.5, 0.5, 0.5])
    np.testing.assert_array_equal(found["cls"], [0, 1, 2, 3])


def text(value):
    return b"\xd9" + bytes([len(value)]) + value.encode()


def array(shape=b"\x91\x03", dtype="float32", data=bytes(12), claimed=None, kind=1):
    inside = (
        b"\x93" + shape + text(dtype) + b"\xc6" + struct.pack(">I", len(data) if claimed is None else claimed) + data
    )
    return b"\xc9" + struct.pack(">IB", len(inside) if claimed is None else claimed, kind) + inside


def pieces(shape, *chunks):
    shape = bytes([0x80 + len(shape)]) + b"".join(text(str(place)) + bytes([size]) for place, size in enumerate(shape))
    parts = bytes([0x80 + len(chunks)]) + b"".join(text(str(place)) + each for place, each in enumerate(chunks))
    return b"\x83" + text("__msgpack_chunked_array__") + b"\xc3" + text("shape") + shape + text("chunks") + parts


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (array(claimed=2**31), "ends before its arrays do"),
        (array(shape=b"\x91\xce\x7f\xff\xff\xff"), "has another number of bytes"),
        (array(shape=b"\x91\xff"), "no tuple of whole numbers"),
        (array(shape=b"\xdc\xff\xff" + bytes(65535)), "65535 axes"),
        (array(dtype="object"), "the dtype 'object'"),
        (array(kind=9), "an extension of kind 9"),
        (b"\x91\x01", "kind 0x91, which is no dictionary and no array"),
        (b"\xc4\x03abc", "kind 0xc4"),
        (b"\xdb\xff\xff\xff\xff", "a name of 4294967295 letters"),
        (b"\x81" + text("a") * 1 + b"\xdf\xff\xff\xff\xff", "ends too early"),
        (b"\xdf\x00\x0f\xff\xff" + (text("a") + b"\x00") * 2**20, "more than 100000 values"),
        ((b"\x81" + text("a")) * 200 + b"\x00", "more than 32 levels"),
        (b"\x81\x01\x00", "a key of a dictionary is not a name"),
        (pieces((3,)), "in pieces has no pieces"),
        (pieces((4,), array()), r"an array \(4,\) is in pieces of 3 numbers"),
        (pieces((6,), array(), array(dtype="int32")), "pieces of several dtypes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_dictionary_of_arrays_is_refused_with_the_reason(value, message, tmp_path):
    path = tmp_path / "weights.msgpack"
    path.write_bytes(b"\x81" + text("params") + b"\x81" + text("a") + value)
    with pytest.raises(UserError, match=f"cannot be read as a msgpack file of Flax.*{message}"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"\x07", b"\x80\x00"], ids=["nothing", "number", "more"])
def test_a_file_of_something_else_is_refused(content, tmp_path):
    path = tmp_path / "weights.msgpack"
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as a msgpack file of Flax"):
        read(path)


def test_damage_anywhere_is_an_error_or_other_numbers(tmp_path):
    path, draw = tmp_path / "checkpoint", random.Random(0)
    whole = serialization.msgpack_serialize(STATES["old_state"])
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            damaged[draw.randrange(len(whole))] = draw.randrange(256)
        path.write_bytes(damaged[: draw.randrange(len(whole)) if draw.random() < 0.3 else None])
        try:
            assert all(array.nbytes <= 4 * len(whole) for array in read(path).values())
        except UserError:
            refused += 1
    assert refused > 100
