"""What goes by a second erasure of an event is not left in the account of the first one."""

from tests.unit.application.test_erasing import Note, erased, notes

from hitherto import Repository
from hitherto.application.verifying import verify

__all__ = ["notes"]


async def test_an_earlier_account_of_the_event_keeps_nothing_that_goes_later(
    notes: Repository[Note],
) -> None:
    """It still tells who has erased which fields, and why."""
    await erased(notes, "text")
    result = await erased(notes, "about", reason="court order 56/78")
    assert result.left == ()
    told = await notes.store.backend.erasures.erasures()
    assert [(each.fields, each.reason) for each in told] == [
        (("text",), "court order 12/34"),
        (("about",), "court order 56/78"),
    ]
    assert not any("Smith" in each.data for each in told)
    assert (await verify(notes.store, [Note])).findings == ()


async def test_a_text_in_the_account_of_an_erasure_is_told(notes: Repository[Note]) -> None:
    """As where the reason tells it."""
    result = await erased(notes, "about", reason="Mr Smith went to court")
    assert [each.table for each in result.left] == ["event_erasures"]
