"""Pages that tell a story print what they show, with a store as it is in the story."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.acceptance.docs_blocks import ROOT
from tests.acceptance.docs_shell import STORIES
from tests.acceptance.docs_stories import (
    Listener,
    Meanwhile,
    a_person,
    an_order_with_a_note,
    fines_in_chains,
    orders_of_two_schemas,
    orders_of_years,
)

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("page", "url", "story"),
    [
        ("erase-a-payload", "sqlite:///shop.db", an_order_with_a_note),
        ("archive-closed-aggregates", "sqlite:///shop.db", orders_of_years),
        ("forget-a-person", "sqlite:///shop.db", a_person),
        ("check-events-before-a-release", "sqlite:///shop.db", orders_of_two_schemas),
        ("detect-tampering", "sqlite:///fines.db", fines_in_chains),
    ],
)
def test_who_has_the_store_of_a_page_sees_what_it_shows(
    page: str,
    url: str,
    story: Callable[[Listener, Path], Meanwhile],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its commands are run one after the other, and what happens between them happens."""
    path = ROOT / f"docs/how-to/{page}.md"
    assert path in STORIES
    reader = Listener(tmp_path, monkeypatch, url)
    reader.tell(path, story(reader, path))
