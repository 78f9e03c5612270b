"""Links from pages to pages, headings and files lead somewhere, also where the repository itself is browsed."""

import pathlib
import re
import urllib.parse

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / ".github").rglob("*.md"), *(ROOT / "docs").rglob("*.md")]

_CODE = re.compile(r"^(```+|~~~+).*?^\1$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:href|src)=\"([^\"]+)\"")
_HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)


def _anchors(page: pathlib.Path) -> set[str]:
    """The anchors that headings get on GitHub: lower case, hyphens for spaces, letters, digits and hyphens alone."""
    text = re.sub(r"^(```+).*?^\1$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title) for title in _HEADING.findall(text)]
    anchors: set[str] = set()
    for title in titles:
        plain = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        numbered = (plain, *(f"{plain}-{number}" for number in range(1, len(titles))))
        anchors.add(next(anchor for anchor in numbered if anchor not in anchors))
    return anchors


def _broken(page: pathlib.Path, root: pathlib.Path = ROOT) -> list[str]:
    broken = []
    for match in _LINK.finditer(_CODE.sub("", page.read_text())):
        link = urllib.parse.unquote(match[1] or match[2])
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = page.parent / path if path else page
        if not target.exists() or root not in target.resolve().parents:
            broken.append(f"{link}: no such file in the repository")
        elif anchor and anchor not in _anchors(target):
            broken.append(f"{link}: no such heading")
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page):
    assert not _broken(page)


def test_links_that_lead_nowhere_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("[a](missing.md), [b](#no-such), [c](#a-heading), `[d](code.md)`\n\n# A heading\n")
    assert [broken.split(":")[0] for broken in _broken(page, tmp_path)] == ["missing.md", "#no-such"]
