"""Links between the pages lead somewhere, to the heading that they name."""

import re
from pathlib import Path

import pytest
from tests.acceptance.docs_blocks import PAGES, ROOT, name_of, prose_of

_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
_HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    """Files are there, and the headings that are named after a #."""
    for path, anchor in _LINK.findall(prose_of(page)):
        target = page.parent / path if path else page
        assert target.exists(), path
        if anchor:
            assert anchor in anchors(target), f"{path}#{anchor}"


@pytest.mark.parametrize(
    ("index", "folder"), [("how-to/index.md", "how-to"), ("decisions/README.md", "decisions")]
)
def test_an_index_names_every_page(index: str, folder: str) -> None:
    """What is not there nobody finds."""
    docs = ROOT / "docs"
    named = {(docs / index).parent / path for path, _ in _LINK.findall(prose_of(docs / index))}
    pages = {
        page for page in (docs / folder).glob("*.md") if page.name not in {"index.md", "README.md"}
    }
    assert sorted(page.name for page in pages - named) == []


def anchors(page: Path) -> set[str]:
    """As GitHub and MyST make them of the headings."""
    headings = (
        re.sub(r"\[([^]]*)\]\([^)]*\)|[*`]", r"\1", text)
        for text in _HEADING.findall(prose_of(page))
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
