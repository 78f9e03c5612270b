"""The file of still frames, and how recipes name it."""

import pathlib

import numpy as np
import pytest
from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.training.inputs.still_bank import read_still_bank, still_bank, write_still_bank
from motion_vit.training.recipe.checks import validate_fields
from motion_vit.training.recipe.config import default_config

FRAMES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)


@pytest.fixture
def config(tmp_path: pathlib.Path) -> ConfigDict:
    """A recipe that takes a bank of 8 x 8 pixels."""
    write_still_bank(tmp_path / "bank.npz", FRAMES)
    config = default_config()
    config.data.size = 8
    config.augmentation.still, config.augmentation.still_bank = "bank", str(tmp_path / "bank.npz")
    return config


def test_what_is_written_is_read(config: ConfigDict) -> None:
    validate_fields(config)
    np.testing.assert_array_equal(still_bank(config), FRAMES)
    assert still_bank(default_config()) is None


def test_a_bank_of_another_size_is_refused(config: ConfigDict) -> None:
    config.data.size = 16
    with pytest.raises(UserError, match=r"frames of 8 x 8 pixels, but data\.size is 16.*frames score"):
        still_bank(config)


def test_a_file_that_is_no_bank_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r"there is no bank of still frames .*frames score"):
        read_still_bank(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", weights=FRAMES)
    np.savez(tmp_path / "floats.npz", frames=FRAMES.astype(np.float32))
    np.savez(tmp_path / "objects.npz", frames=np.array([{}], object))
    for name in ("text", "other", "floats", "objects"):
        with pytest.raises(UserError, match=rf"{name}\.npz is no bank of still frames"):
            read_still_bank(tmp_path / f"{name}.npz")
    with pytest.raises(UserError, match=r"ends in \.npz; given bank\.npy"):
        write_still_bank("bank.npy", FRAMES)


def test_a_damaged_bank_is_read_or_refused_in_a_sentence(tmp_path: pathlib.Path) -> None:
    write_still_bank(tmp_path / "bank.npz", FRAMES)
    whole, rng = (tmp_path / "bank.npz").read_bytes(), np.random.default_rng(0)
    messages = []
    for number in range(150):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 1 + number % 5):
            damaged[place] = rng.integers(256)
        (tmp_path / "damaged.npz").write_bytes(damaged[: rng.integers(1, len(whole) + 1)] if number % 3 else damaged)
        try:
            read_still_bank(tmp_path / "damaged.npz")
        except UserError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all("damaged.npz" in message for message in messages)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"still_bank": ""}, r'still is "bank", but augmentation\.still_bank is empty'),
        ({"still": "batch"}, r"still_bank is .* but augmentation\.still is 'batch', which takes no bank"),
        ({"still": "other"}, "augmentation.still is 'other', but must be one of none, own, batch, bank"),
        ({"still_share": (0.0, 1.0)}, "augmentation.still_share is .* above 0"),
        ({"still_limit": 1.5}, "augmentation.still_limit is 1.5, but must be a number from 0 to 1"),
    ],
)
def test_fields_that_do_not_go_together_are_named(config: ConfigDict, fields: dict[str, object], message: str) -> None:
    config.augmentation.update(fields)
    with pytest.raises(UserError, match=message):
        validate_fields(config)


def test_a_single_frame_has_no_other_frame_of_its_own() -> None:
    config = default_config()
    config.augmentation.still, config.data.frames = "own", 1
    with pytest.raises(UserError, match=r"data\.frames is 1: a clip of a single frame is that still frame"):
        validate_fields(config)
