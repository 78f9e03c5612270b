import pytest

from motion_vit import UserError
from motion_vit.training.regex_rules import first_match


def test_the_first_rule_that_matches_the_whole_path_decides() -> None:
    tree = {"stem": {"kernel": 1, "bias": 2}, "head": {"kernel": 3, "bias": 4}}
    rules = [("head/.*", "head"), (".*/bias", "bias"), ("stem", "never: matches a part only")]
    values = first_match(rules, tree, default=lambda path, leaf: f"{path}={leaf}")
    assert values == {"stem": {"kernel": "stem/kernel=1", "bias": "bias"}, "head": {"kernel": "head", "bias": "head"}}


def test_a_broken_pattern_is_named() -> None:
    with pytest.raises(UserError, match=r"'\(' is not a regular expression"):
        first_match([("(", 1)], {"a": 1}, default=lambda path, leaf: 0)
