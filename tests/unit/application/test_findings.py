"""Damage counted, and told."""

from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

from hitherto.application.findings import _KINDS, EXAMPLES, Kind, Tally


def test_nothing_found_is_nothing_told() -> None:
    """A sound store."""
    assert Tally().findings() == ()


def test_the_gravest_is_told_first() -> None:
    """In whatever order it was found."""
    tally = Tally()
    tally.add("snapshot-differs", "a", 3, detail="its field sum")
    tally.add("version-gap", "a", 3, 7, 1)
    tally.add("file-damaged", detail="it burns")
    assert [finding.kind for finding in tally.findings()] == [
        "file-damaged",
        "version-gap",
        "snapshot-differs",
    ]


def test_each_place_is_a_sentence() -> None:
    """With what it is about, for programs."""
    tally = Tally()
    tally.add("version-gap", "a'b", 3, 7, 1)
    (finding,) = tally.findings()
    (place,) = finding.places
    assert place.what == """version 3 of "a'b" follows 1"""
    assert (place.aggregate_id, place.version, place.position) == ("a'b", 3, 7)
    assert tally.has("version-gap")
    assert not tally.has("version-twice")


def test_the_first_places_are_kept_and_all_are_counted() -> None:
    """So that memory stays bounded."""
    tally = Tally()
    tally.extend(("version-twice", "a", version, version, None) for version in range(1000))
    tally.extend([("position-twice", "a", 1, 1, None)])
    twice, once = sorted(tally.findings(), key=lambda finding: -finding.count)
    assert (twice.count, once.count) == (1000, 1)
    assert [place.version for place in twice.places] == list(range(EXAMPLES))


def test_an_id_cannot_forge_a_sentence() -> None:
    """Braces and control characters in it stay what they are."""
    tally = Tally()
    tally.add("version-twice", "{version}\x1b[31m\n", 2, 2)
    assert tally.findings()[0].places[0].what == (
        r"version 2 of '{version}\x1b[31m\n' is there again"
    )


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_has_a_sentence_and_a_remedy(kind: Kind) -> None:
    """A remedy is the same everywhere; a sentence names nothing that a place has not."""
    sentence, remedy = _KINDS[kind]
    names = {name for _, name, _, _ in Formatter().parse(sentence) if name}
    assert names <= {"aggregate_id", "version", "position", "detail"}
    assert "{" not in remedy
    assert not remedy.endswith(".")


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_is_explained(kind: Kind) -> None:
    """In the documentation."""
    page = Path(__file__).parents[3] / "docs/how-to/verify-a-store.md"
    assert f"`{kind}`" in page.read_text()
