"""What is stored comes back: texts, numbers and times."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from hitherto.application.ports import Backend
from hitherto.testing.store_contract.making import (
    append_to,
    new_event,
    same_json,
    snapshot_of,
    versions,
    whole_log,
)

TEXTS = [
    "plain",
    "😀🏳️‍🌈 emoji",
    "Ünï©ödé \u4e2d\u6587 \u0627\u0644",
    'it\'s "quoted" `so`',
    "'; DROP TABLE event_store; --",
    "100% %s %(name)s $1 ? :id {x}",
    "back\\slash \\u0000 \\n",
    "line\nbreak\ttab\r\x01\x7f\u2028",
    " spaces around ",
    "a/b:c#d?e&f=g",
    "\ufeffbom \uffff \U0010ffff",
    "NULL",
    "0",
    "x" * 255,
    "😀" * 255,
]
DISTINCT = ["a", "A", "a ", " a", "á", "a\u0301", "\uff41", "aa", "\u00aa", "ß", "ss"]
NUMBERS = [
    "0", "-1", "9223372036854775807", "-9223372036854775808", "18446744073709551615",
    "123456789012345678901234567890", "0.1", "1.10", "1e5", "1.5e-7", "3.141592653589793",
    "2.2250738585072014e-308", "1.7976931348623157e308", "0.30000000000000004",
]  # fmt: skip
TIMES = [
    datetime(2024, 2, 29, 12, 0, 0, 1, UTC),
    datetime(2024, 12, 31, 23, 59, 59, 999999, UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
    datetime(1900, 1, 1, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
    datetime(2024, 7, 1, 1, 30, 0, 123457, timezone(timedelta(hours=5, minutes=45))),
    datetime(2024, 7, 1, 1, 30, 0, 123457, timezone(-timedelta(hours=11))),
]


class ContentContract:
    """No text, number or time is changed on its way."""

    @pytest.mark.parametrize("text", TEXTS)
    async def test_any_text_may_be_an_id_or_a_type(self, backend: Backend, text: str) -> None:
        """It is found again under exactly that text, by each way of reading."""
        await backend.append([append_to("before")])
        await backend.append([append_to(text, [new_event(type=text)], type=text)])
        (stored,) = await backend.read(text)
        assert (stored.aggregate_id, stored.aggregate_type, stored.event_type) == (text,) * 3
        ((_, event_type, _, _, aggregate_type),) = (
            await backend.load(text, fingerprint=None)
        ).events
        assert (event_type, aggregate_type) == (text, text)
        assert set(await backend.load_many([text, "before"], fingerprint=None)) == {text, "before"}
        assert await whole_log(backend, event_types=[text]) == [stored]
        assert await whole_log(backend, aggregate_types=[text]) == [stored]
        snapshot = snapshot_of(text, 1, type=text, fingerprint=text)
        assert await backend.save_snapshot(snapshot)
        assert (await backend.load(text, fingerprint=text)).snapshot == snapshot

    async def test_ids_are_compared_by_their_characters(self, backend: Backend) -> None:
        """Case, spaces, accents and compositions all tell ids apart."""
        await backend.append([append_to(text, n) for n, text in enumerate(DISTINCT, 1)])
        for n, text in enumerate(DISTINCT, 1):
            assert len(await versions(backend, text)) == n
        assert set(await backend.load_many(DISTINCT, fingerprint=None)) == set(DISTINCT)

    @pytest.mark.parametrize("text", TEXTS)
    async def test_any_text_may_be_in_data_and_metadata(self, backend: Backend, text: str) -> None:
        """As a value and as a key, nested too."""
        value = {text: text, "nested": [{text: [text]}]}
        event = new_event(value, metadata=new_event(value).data)
        await backend.append([append_to("thing-1", [event])])
        (stored,) = await backend.read("thing-1")
        assert same_json(stored.data) == value
        assert same_json(stored.metadata) == value
        (row,) = (await backend.load("thing-1", fingerprint=None)).events
        assert same_json(row[3]) == value

    @pytest.mark.parametrize("number", NUMBERS)
    async def test_numbers_keep_every_digit(self, backend: Backend, number: str) -> None:
        """Large integers and long fractions are stored exactly."""
        data = f'{{"number": {number}, "list": [{number}], "text": "{number}"}}'
        await backend.append([append_to("thing-1", [new_event(data, metadata=data)])])
        (stored,) = await backend.read("thing-1")
        assert same_json(stored.data) == same_json(data)
        assert same_json(stored.metadata) == same_json(data)

    async def test_integers_and_floats_stay_apart(self, backend: Backend) -> None:
        """1 is read as an integer and 1.0 as a float."""
        await backend.append([append_to("thing-1", [new_event('{"a": 1, "b": 1.0, "c": 10}')])])
        (stored,) = await backend.read("thing-1")
        kinds = {name: isinstance(value, int) for name, value in same_json(stored.data).items()}
        assert kinds == {"a": True, "b": False, "c": True}

    async def test_plain_values_keep_their_kind(self, backend: Backend) -> None:
        """True, false, null, empty text, empty lists and empty objects."""
        value: dict[str, Any] = {
            "t": True,
            "f": False,
            "n": None,
            "e": "",
            "l": [],
            "o": {},
        }
        await backend.append([append_to("thing-1", [new_event(value)])])
        (stored,) = await backend.read("thing-1")
        assert same_json(stored.data) == value

    async def test_data_may_be_large_and_deep(self, backend: Backend) -> None:
        """A mebibyte, and sixty-four levels."""
        deep: object = 1
        for _ in range(63):
            deep = {"deeper": deep}
        large = {"text": "0123456789abcdef" * 65536}
        await backend.append([append_to("thing-1", [new_event(large), new_event({"deep": deep})])])
        first, second = await backend.read("thing-1")
        assert same_json(first.data) == large
        assert same_json(second.data) == {"deep": deep}

    @pytest.mark.parametrize("moment", TIMES, ids=str)
    async def test_times_are_kept_to_the_microsecond(
        self, backend: Backend, moment: datetime
    ) -> None:
        """They come back as the same moment, in UTC."""
        await backend.append([append_to("thing-1", [new_event(occurred_at=moment)])])
        (stored,) = await backend.read("thing-1")
        assert stored.occurred_at == moment
        assert stored.occurred_at.utcoffset() == timedelta(0)

    async def test_the_store_notes_when_it_stored(self, backend: Backend) -> None:
        """In UTC, the same for all events of an append."""
        await backend.append([append_to("thing-1", 3)])
        stored = await backend.read("thing-1")
        assert len({event.stored_at for event in stored}) == 1
        assert stored[0].stored_at.utcoffset() == timedelta(0)
        assert abs(stored[0].stored_at - datetime.now(UTC)) < timedelta(days=1)

    @pytest.mark.parametrize("schema", [1, 2, 32_767])
    async def test_schema_versions_fit(self, backend: Backend, schema: int) -> None:
        """Up to the largest that an event class may have."""
        await backend.append([append_to("thing-1", [new_event(schema=schema)])])
        (stored,) = await backend.read("thing-1")
        assert stored.schema_version == schema
