"""Names of classes are divided into words, whatever divides them, and left and right change places in them."""

import random
import unicodedata

import pytest

from motion_vit.data.augmentation.flips import mirrored_labels
from motion_vit.data.augmentation.sided_names import take_apart

# How people join words to names.
JOINED = {
    "blanks": " ".join,
    "underscores": "_".join,
    "hyphens": "-".join,
    "points": ".".join,
    "slashes": "/".join,
    "wide blanks": "\u3000".join,
    "zero width": "\u200b".join,
    "title": lambda words: " ".join(word.title() for word in words),
    "pascal": lambda words: "".join(word.title() for word in words),
    "camel": lambda words: words[0] + "".join(word.title() for word in words[1:]),
    "capitals": lambda words: "_".join(words).upper(),
    "glued": "".join,
    "glued capitals": lambda words: "".join(words).upper(),
    "numbered": lambda words: "2".join(words) + "10",
    "doubled": "__".join,
}
OTHER_WORDS = ["turn", "swipe", "hand", "wheel", "move", "to", "the", "café", "поворот", "手", "bright", "upright"]


def mirror(words: list[str]) -> list[str]:
    return [{"left": "right", "right": "left"}.get(word, word) for word in words]


@pytest.mark.parametrize("join", JOINED.values(), ids=JOINED)
def test_a_pair_is_found_however_words_are_joined(join) -> None:
    draw = random.Random(0)
    for _ in range(60):
        # A glued exception, as in "handbright", is taken for a side: that errs on the side of not mirroring.
        known = OTHER_WORDS[:9] if join in (JOINED["glued"], JOINED["glued capitals"]) else OTHER_WORDS
        words = [draw.choice(known) for _ in range(draw.randint(0, 3))]
        for _ in range(draw.randint(1, 3)):
            words.insert(draw.randint(0, len(words)), draw.choice(["left", "right"]))
        other, image = join(words), join(mirror(words))
        if other == image:
            continue
        assert take_apart(other).has_side
        assert take_apart(other).mirrored == unicodedata.normalize("NFKC", image)
        names = ["clap", image, "bright light", other]
        for form in ("NFC", "NFD"):
            written = [names[0], unicodedata.normalize(form, image), *names[2:]]
            assert mirrored_labels(written).tolist() == [0, 3, 2, 1]
        assert mirrored_labels(["clap", other]).tolist() == [0, -1]


@pytest.mark.parametrize(
    "name",
    [
        "bright",
        "Brightness",
        "eat_leftovers",
        "LEFTOVER",
        "copyright",
        "uprights",
        "stayUpright",
        "frighten",
        "outright",
        "playwright",
        "forthright",
        "birthright",
        "righteous",
        "copyleft",
        "cleft",
        "alright",
        "downright",
        "drift",
        "lift",
        "nach_links",
        "gauche",
        "L",
        "hand_R",
        "righ",
        "handLeFt",
        "",
    ],
)
def test_other_words_and_other_languages_name_no_side(name: str) -> None:
    assert not take_apart(name).has_side
    assert mirrored_labels([name, "turn left", "turn right"]).tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("from left to right", "from right to left"),
        ("TURNLeft", "TURNRight"),
        ("LEFTturn", "RIGHTturn"),
        ("LeftOver", "RightOver"),
        ("GoUpRight", "GoUpLeft"),
        ("turnRight_2b", "turnLeft_2b"),
        ("\uff2c\uff25\uff26\uff34", "RIGHT"),
        ("leftmost", "rightmost"),
        ("Turn Counter-Clockwise", "Turn Clockwise"),
        ("turnAntiClockwise", "turnClockwise"),
        ("rotate_cw", "rotate_ccw"),
        ("rotatecw", "rotateccw"),
    ],
)
def test_the_mirror_image_keeps_separators_and_case(name: str, image: str) -> None:
    assert take_apart(name).mirrored == image


@pytest.mark.parametrize(
    "spelling",
    [
        "anti_clockwise",
        "CounterClockwise",
        "COUNTER-CLOCKWISE",
        "anticlockwise",
        "CounterClockWise",
        "counter-clock-wise",
    ],
)
def test_every_spelling_of_counterclockwise_is_the_mirror_image_of_clockwise(spelling: str) -> None:
    assert mirrored_labels([f"turn_{spelling}", "TurnClockwise"]).tolist() == [1, 0]
