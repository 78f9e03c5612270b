"""What may be registered is decided by one rule for models, motion modules and losses."""

from collections.abc import Callable
from typing import Any

import pytest

import motion_vit
from motion_vit.models.timesformer import TimeSformer

REGISTER = {
    "model": (motion_vit.register_model, TimeSformer, "resnet18_tsn"),
    "motion module": (motion_vit.register_motion_module, lambda **fields: None, "m2a"),
    "loss": (motion_vit.register_loss, lambda clips_of_class: None, "focal"),
}


@pytest.mark.mistyped
@pytest.mark.parametrize("name", [None, 3, [], {}, ("a",), b"own", "", " ", "a b", "a/b", "-a", ".", "own.py", "a\n"])
@pytest.mark.parametrize("kind", REGISTER)
def test_what_is_no_name_is_refused(kind: str, name: Any) -> None:
    register: Callable[..., None] = REGISTER[kind][0]
    with pytest.raises(motion_vit.UserError, match=f"a {kind} is registered as .*, but names are made of letters"):
        register(name, REGISTER[kind][1])


@pytest.mark.parametrize("kind", REGISTER)
def test_a_name_of_the_library_is_not_taken(kind: str) -> None:
    register, definition, own = REGISTER[kind]
    with pytest.raises(motion_vit.UserError, match=f"there is a {kind} '{own}' already"):
        register(own, definition)
