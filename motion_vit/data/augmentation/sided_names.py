"""Finds the words left, right, clockwise and counterclockwise in the names of classes, and exchanges them.

The words are English; other languages and abbreviations ("links", "L") are not recognised.
"""

import dataclasses
import itertools
import re
import unicodedata

# Words, numbers, and what stands between them; letters include those of every script, without their combining marks.
_RUN = re.compile(r"[^\W\d_]+|\d+|[\W_]+")
_SIDE = re.compile(r"left|right|clockwise|(?:anti|counter|a|c)?cw\Z", re.IGNORECASE)
# However it is written: "ClockWise", "clock-wise".
_CLOCKWISE = re.compile(r"(clock)[\W_]*(wise)", re.IGNORECASE)
_CCW = re.compile(r"(?:anti|counter|a|c)cw", re.IGNORECASE)
# English words that begin with or hold "left" or "right" and name no side. Others, such as "turnleft" and "lefthand",
# are taken for glued words: a class that is wrongly taken to name a side is not mirrored, which harms no label.
_NO_SIDE = re.compile(
    r"(?:a|over|super|ultra)?(?:b|f)right"
    r"|(?:ark|boat|cart|mill|play|ship|wain|wheel)?wright"
    r"|(?:a|al|birth|copy|down|forth|out|up)right"
    r"|right(?:eous|ful)"
    r"|(?:c|copy)left"
    r"|leftover",
    re.IGNORECASE,
)
_MIRROR_IMAGE = {
    "left": "right",
    "right": "left",
    "clockwise": "counterclockwise",
    "counterclockwise": "clockwise",
    "cw": "ccw",
    "ccw": "cw",
}
_AGAINST = frozenset({"counter", "anti"})


@dataclasses.dataclass(frozen=True)
class SidedName:
    """The name of a class, taken apart.

    Attributes:
      key: words and numbers in lower case, without what stands between words. "TurnLeft2" and "turn_left-2" have the
        same.
      mirrored_key: the key of the mirror image.
      mirrored: the name of the mirror image, with the separators and the case of the name.
    """

    key: str
    mirrored_key: str
    mirrored: str

    @property
    def has_side(self) -> bool:
        """True if the name says left, right, clockwise or counterclockwise."""
        return self.key != self.mirrored_key


def take_apart(name: str) -> SidedName:
    """Takes the name of a class apart and exchanges left and right, and clockwise and counterclockwise.

    A name divides at blanks, underscores, hyphens, other punctuation, digits, and where the case changes (`turnLeft`,
    `TurnLeft`, `TURNLeft`). Left and right also count where they are glued to other words (`turnleft`), but not in
    English words such as "bright" and "leftover".

    Args:
      name: the name, in any normal form of Unicode.

    Returns:
      Its key and its mirror image.
    """
    pieces: list[str] = []
    for run in _RUN.findall(_CLOCKWISE.sub(lambda found: found[1] + found[2].lower(), normal_form(name))):
        pieces += _divided(run) if run[0].isalpha() else [run]
    pieces = _with_whole_counterclockwise(pieces)
    images = [_mirror_image(piece) for piece in pieces]
    return SidedName(_key(pieces), _key(images), "".join(images))


def normal_form(name: str) -> str:
    """Returns the form of a name in which `SidedName.mirrored` is given: NFKC."""
    return unicodedata.normalize("NFKC", name)


def _divided(letters: str) -> list[str]:
    """Divides a run of letters where its case changes, and round left and right."""
    if _SIDE.fullmatch(letters):  # in whatever case: "lEFT"
        return [letters]
    camel, capitals = _case_changes(letters)
    no_sides = [
        match.span()
        for start in {0} | camel | capitals
        if (match := _NO_SIDE.match(letters, start)) and not _cuts(camel | capitals, match.span())
    ]
    sides = [
        side.span()
        for side in _SIDE.finditer(letters)
        # In "handLeFt" nobody means left. "LEFTurn" may mean it, as "LEFTturn" does.
        if not _cuts(camel, side.span())
        and not any(start < side.end() and side.start() < end for start, end in no_sides)
    ]
    cuts = camel | capitals
    for side in sides:
        cuts = (cuts - _cuts(cuts, side)) | set(side)
    places = sorted(cuts | {0, len(letters)})
    return [letters[start:end] for start, end in itertools.pairwise(places)]


def _case_changes(letters: str) -> tuple[set[int], set[int]]:
    """Finds where words begin by their case ("turnLeft") or script, and where they may, after capitals ("TURNLeft")."""
    cases = [letter.isupper() - letter.islower() for letter in letters]
    pairs = list(enumerate(itertools.pairwise(cases), start=1))
    # Letters of scripts without capitals have the case 0.
    camel = {at for at, (before, case) in pairs if (before, case) == (-1, 1) or (before == 0) != (case == 0)}
    capitals = {at for at, pair in pairs[:-1] if pair == (1, 1) and cases[at + 1] == -1}
    return camel, capitals


def _cuts(places: set[int], span: tuple[int, int]) -> set[int]:
    """Returns the places that lie inside of a span."""
    return {place for place in places if span[0] < place < span[1]}


def _with_whole_counterclockwise(pieces: list[str]) -> list[str]:
    """Joins "counter", "clockwise" and what stands between them."""
    joined: list[str] = []
    for piece in pieces:
        if piece.lower() == "clockwise":
            between = 1 if joined and not joined[-1][0].isalnum() else 0
            before = joined[-1 - between :]
            if len(before) == 1 + between and before[0].lower() in _AGAINST:
                piece = "".join(before) + piece
                del joined[-1 - between :]
        joined.append(piece)
    return joined


def _word(piece: str) -> str:
    """Returns a piece in lower case, and "counterclockwise" and "ccw" in one spelling each."""
    folded = piece.casefold()
    if _CCW.fullmatch(folded):
        return "ccw"
    return "counterclockwise" if folded != "clockwise" and folded.endswith("clockwise") else folded


def _key(pieces: list[str]) -> str:
    # Numbers stay apart: 1 and 10 are not 11 and 0.
    return "".join(f" {piece} " if piece.isdecimal() else _word(piece) for piece in pieces if piece[0].isalnum())


def _mirror_image(piece: str) -> str:
    """Exchanges a word that names a side; its case stays."""
    image = _MIRROR_IMAGE.get(_word(piece))
    if image is None:
        return piece
    if piece.isupper():
        return image.upper()
    return image.capitalize() if piece[0].isupper() else image
