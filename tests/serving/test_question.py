"""Fields of requests: their ranges, and what goes together."""

import pytest

from motion_vit.data.batches.window_views import Windows
from motion_vit.errors import UserError
from motion_vit.serving.question import FIELDS, Question, read_question
from motion_vit.training.inference.segments import SegmentRules


def test_what_is_not_given_is_as_predict_has_it() -> None:
    assert read_question([]) == Question(5, 0.0, None, None, SegmentRules())


def test_fields_are_read_as_on_the_command_line() -> None:
    assert read_question([("top", "all"), ("start", "1"), ("end", "2.5s")]) == Question("all", 1.0, 2.5)
    fields = [("window", "2s"), ("start", "1"), ("enter", "0.2"), ("min_length", "0.5")]
    rules = SegmentRules(enter=0.2, leave=0.2, min_length=0.5)
    assert read_question(fields) == Question(start=1.0, windows=Windows(2.0, 0.5, 1.0), rules=rules)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", ["", "x", "-1", "nan", "inf", "1e400", "9" * 5000, "\x00", "0x10", "None", "[]"])
def test_a_value_that_is_out_of_range_is_refused_shortly(name: str, value: str) -> None:
    with pytest.raises(UserError, match=f"the field {name} is .* but must be ") as refused:
        read_question([(name, value)])
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([("top", "1"), ("top", "1")], "comes twice"),
        ([("tops", "1")], "Did you mean 'top'"),
        ([("x" * 100_000, "1")], "there is no field 'xxx"),
        ([("start", "3"), ("end", "3")], "end after its start"),
        ([("leave", "0.3")], "give window, too"),
        ([("top", "3"), ("window", "2")], "one label at a time"),
        ([("window", "1"), ("hop", "2")], "longer than the window"),
        ([("window", "1"), ("enter", "0.2"), ("leave", "0.4")], "leave must be at most enter"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(fields: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        read_question(fields)
    assert len(str(refused.value)) < 400
