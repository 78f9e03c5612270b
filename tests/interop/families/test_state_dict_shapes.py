"""Sizes that are read off the names and shapes of weights."""

from motion_vit.interop.families.state_dict_shapes import blocks


def test_blocks_are_counted_by_their_highest_number() -> None:
    assert blocks({"blocks1.0.norm": (3,), "blocks1.11.norm": (3,), "head": (3,)}, r"blocks1\.(\d+)\.") == 12


def test_a_number_of_thousands_of_digits_is_of_no_block() -> None:
    pattern = r"blocks1\.(\d+)\."
    assert blocks({f"blocks1.{'9' * 5000}.norm": (3,)}, pattern) is None
    assert blocks({f"blocks1.{'9' * 5000}.norm": (3,), "blocks1.1.norm": (3,)}, pattern) == 2
