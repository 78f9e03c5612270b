import pytest

from motion_vit import UserError
from motion_vit.training.step.regex_rules import first_match, matches

TREE = {"stem": {"kernel": 1, "bias": 2}, "head": {"kernel": 3, "bias": 4}}


def test_the_first_rule_that_matches_the_whole_path_decides() -> None:
    rules = [("head/.*", "head"), (".*/bias", "bias")]
    values = first_match("rules", rules, TREE, default=lambda path, leaf: f"{path}={leaf}")
    assert values == {"stem": {"kernel": "stem/kernel=1", "bias": "bias"}, "head": {"kernel": "head", "bias": "head"}}
    assert matches("rules", ["head/.*", ".*/bias"], TREE) == {
        "stem/kernel": None,
        "stem/bias": 1,
        "head/kernel": 0,
        "head/bias": 0,
    }


def test_a_broken_pattern_is_named() -> None:
    with pytest.raises(UserError, match=r"ema: the pattern '\(' is not a regular expression"):
        first_match("ema", [("(", 1)], TREE, default=lambda path, leaf: 0)


@pytest.mark.parametrize(
    ("pattern", "near"), [("head", "head/kernel, head/bias"), ("haed/kernel", "head/kernel"), ("%", "stem/kernel")]
)
def test_a_pattern_that_matches_nothing_is_named_with_paths_near_it(pattern: str, near: str) -> None:
    with pytest.raises(UserError, match=rf"ema: the pattern '{pattern}' matches no parameter.*such as {near}"):
        first_match("ema", [(".*", 1), (pattern, 2)], TREE, default=lambda path, leaf: 0)
