from motion_vit.data.sources.class_imbalance import describe_imbalance


def test_very_unequal_classes_are_named_with_their_counts() -> None:
    sentence = describe_imbalance(("clap", "nod", "wave"), (33, 400, 3))
    assert "from 3 clips of 'wave' to 400 of 'nod'" in sentence
    assert "data.class_balance" in sentence


def test_nothing_is_said_of_classes_that_are_nearly_equal_or_empty() -> None:
    assert describe_imbalance(("clap", "nod"), (10, 100)) == ""
    assert describe_imbalance(("clap", "nod"), (0, 100)) == ""
    assert describe_imbalance((), ()) == ""
