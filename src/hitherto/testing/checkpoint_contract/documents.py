"""Documents of views: `Progress.documents`, `read_documents` and `find_documents`."""

import json
from typing import Any

import pytest

from hitherto.application.checkpoints import Generation
from hitherto.application.ports import Backend
from hitherto.testing.checkpoint_contract.making import (
    NAME,
    advance,
    document,
    hold,
    prepare,
    rebuilt,
    some_events,
    stored,
)
from hitherto.testing.store_contract.making import same_json

_VALUES = {
    "a": '{"n": 10, "text": "Zebra", "flag": true, "list": [1, "x"], "nested": {"p": 1, "q": 2}}',
    "b": '{"n": 9.5, "text": "abel", "flag": false, "list": [1, "y"], "nested": {"p": 1}}',
    "c": '{"n": -1, "text": "Übel", "flag": 1, "list": [], "nested": {}}',
    "d": '{"n": 1e3, "text": "", "flag": null, "list": ["x", 1]}',
    "e": "{}",
}


class DocumentContract:
    """Documents are kept by key and partition, and found by their fields."""

    async def test_a_document_is_written_replaced_and_removed(self, backend: Backend) -> None:
        """Removing one that is not there is no error."""
        made, held = await _written(backend, {"a": '{"n": 1}', "b": '{"n": 2}'})
        assert await stored(backend) == {"a": {"n": 1}, "b": {"n": 2}}
        await _write(backend, made, held, {"a": '{"n": 3}', "b": None, "c": None})
        assert await stored(backend) == {"a": {"n": 3}}

    @pytest.mark.parametrize("data", ['{"n": 2}', None])
    async def test_of_two_for_one_key_the_last_counts(
        self, backend: Backend, data: str | None
    ) -> None:
        """In the order in which they are given."""
        made, held = await _written(backend, {})
        both = [document("a", None if data else '{"n": 1}'), document("a", data)]
        await advance(backend, made, held, 0, documents=both)
        assert await stored(backend) == ({"a": {"n": 2}} if data else {})

    async def test_numbers_keep_their_digits(self, backend: Backend) -> None:
        """Decimals are numbers in JSON."""
        text = '{"n": 12345678901234567890.12, "m": 0.10}'
        await _written(backend, {"a": text})
        (found,) = await backend.checkpoints.find_documents(NAME, "things")
        assert same_json(found.data) == same_json(text)

    async def test_documents_are_read_by_key(self, backend: Backend) -> None:
        """Of one partition, or of all; keys without one are left out."""
        made, held = await _written(backend, {"a": '{"n": 1}', "ü'b": '{"n": 2}'})
        await _write(backend, made, held, {"c": '{"n": 3}'}, partition=1)
        read = backend.checkpoints.read_documents
        keys = ["c", "ü'b", "missing"]
        assert _parsed(await read(made, "things", keys, 0)) == {"ü'b": {"n": 2}}
        assert _parsed(await read(made, "things", keys, 1)) == {"c": {"n": 3}}
        assert _parsed(await read(made, "things", keys, None)) == {"c": {"n": 3}, "ü'b": {"n": 2}}
        assert _parsed(await read(made, "others", keys, None)) == {}
        assert _parsed(await read(made, "things", [], None)) == {}

    async def test_the_same_key_may_stand_in_each_partition(self, backend: Backend) -> None:
        """All of them are found, in order."""
        made, held = await _written(backend, {"a": '{"n": 1}', "b": '{"n": 2}'})
        await _write(backend, made, held, {"a": '{"n": 3}'}, partition=1)
        found = await backend.checkpoints.find_documents(NAME, "things")
        assert [(each.key, each.partition) for each in found] == [("a", 0), ("a", 1), ("b", 0)]
        found = await backend.checkpoints.find_documents(NAME, "things", key="a")
        assert [(each.collection, same_json(each.data)) for each in found] == [
            ("things", {"n": 1}), ("things", {"n": 3}),
        ]  # fmt: skip
        assert not await backend.checkpoints.find_documents(NAME, "things", key="c")

    async def test_collections_are_apart(self, backend: Backend) -> None:
        """The same key is another document in each."""
        made, held = await _written(backend, {"a": '{"n": 1}'})
        other = document("a", '{"n": 2}', collection="others")
        await advance(backend, made, held, 0, documents=[other])
        assert await stored(backend) == {"a": {"n": 1}}
        (found,) = await backend.checkpoints.find_documents(NAME, "others")
        assert same_json(found.data) == {"n": 2}

    async def test_only_the_active_generation_is_found(self, backend: Backend) -> None:
        """What is filled beside it is read by who fills it."""
        await some_events(backend)
        active, filling = await rebuilt(backend)
        for generation, data in ((active, '{"n": 1}'), (filling, '{"n": 2}')):
            await _write(backend, generation, await hold(backend, generation), {"a": data})
        assert await stored(backend) == {"a": {"n": 1}}
        read = await backend.checkpoints.read_documents(filling, "things", ["a"], 0)
        assert _parsed(read) == {"a": {"n": 2}}
        assert not await backend.checkpoints.find_documents("unknown", "things")

    async def test_they_are_in_the_order_of_their_keys(self, backend: Backend) -> None:
        """That of their bytes."""
        await _written(backend, dict.fromkeys(["b", "B", "é", "a", "10", "9"], "{}"))
        assert list(await stored(backend)) == ["10", "9", "B", "a", "b", "é"]
        assert list(await stored(backend, descending=True, limit=2)) == ["é", "b"]

    @pytest.mark.parametrize(
        ("field", "descending", "keys"),
        [
            ("n", False, "cbade"),
            ("n", True, "dabce"),
            ("text", False, "dabce"),
            ("text", True, "cbade"),
            ("missing", False, "abcde"),
            ("missing", True, "abcde"),
        ],
    )
    async def test_they_are_in_the_order_of_a_field(
        self, backend: Backend, field: str, descending: bool, keys: str
    ) -> None:
        """Numbers by value, texts by their bytes; what has no such field comes last."""
        await _written(backend, _VALUES)
        found = await stored(backend, order_by=field, descending=descending)
        assert "".join(found) == keys
        found = await stored(backend, order_by=field, descending=descending, limit=3)
        assert "".join(found) == keys[:3]

    @pytest.mark.parametrize("descending", [False, True])
    async def test_ties_are_in_the_order_of_their_keys(
        self, backend: Backend, descending: bool
    ) -> None:
        """Then in that of their partitions."""
        made, held = await _written(backend, {"b": '{"n": 1}', "a": '{"n": 1}'})
        await _write(backend, made, held, {"a": '{"n": 1}'}, partition=1)
        found = await backend.checkpoints.find_documents(
            NAME, "things", order_by="n", descending=descending
        )
        assert [(each.key, each.partition) for each in found] == [("a", 0), ("a", 1), ("b", 0)]

    @pytest.mark.parametrize(
        ("equal", "keys"),
        [
            ({"n": 10}, "a"),
            ({"n": 10.0}, "a"),
            ({"n": 1000}, "d"),
            ({"n": "10"}, ""),
            ({"text": "Übel"}, "c"),
            ({"text": ""}, "d"),
            ({"text": "zebra"}, ""),
            ({"flag": True}, "a"),
            ({"flag": 1}, "c"),
            ({"flag": False}, "b"),
            ({"flag": None}, "d"),
            ({"list": [1, "x"]}, "a"),
            ({"list": [True, "x"]}, ""),
            ({"list": []}, "c"),
            ({"nested": {"q": 2, "p": 1}}, "a"),
            ({"nested": {"p": 1}}, "b"),
            ({"nested": {"p": 2}}, ""),
            ({"nested": {"p": True}}, ""),
            ({"missing": None}, ""),
            ({"n": 10, "text": "Zebra"}, "a"),
            ({"n": 10, "text": "abel"}, ""),
        ],
    )
    async def test_they_are_found_by_their_fields(
        self, backend: Backend, equal: dict[str, Any], keys: str
    ) -> None:
        """Each must have that very JSON value; a missing one has none."""
        await _written(backend, _VALUES)
        assert "".join(await stored(backend, equal=equal)) == keys

    @pytest.mark.parametrize(
        "field", ["it's", 'a"b', "$x", "$.n", "a.b", "a[0]", "ü", "a\\b", "", " ", "#-1"]
    )
    async def test_a_field_may_have_any_name(self, backend: Backend, field: str) -> None:
        """It is a name, never a path or a piece of SQL."""
        values = {"a": 2, "b": 1, "c": 3}
        await _written(backend, {key: json.dumps({field: n}) for key, n in values.items()})
        assert list(await stored(backend, order_by=field)) == ["b", "a", "c"]
        assert list(await stored(backend, equal={field: 3})) == ["c"]

    async def test_order_and_filters_go_together(self, backend: Backend) -> None:
        """The limit comes last."""
        await _written(backend, {f"k{n}": f'{{"odd": {n % 2}, "n": {n}}}' for n in range(9)})
        found = await stored(backend, equal={"odd": 1}, order_by="n", descending=True, limit=2)
        assert list(found) == ["k7", "k5"]


async def _written(backend: Backend, texts: dict[str, str]) -> tuple[Generation, dict[int, int]]:
    """An active generation with documents in partition 0 of 2, and who holds it."""
    made = await prepare(backend, partitions=2)
    held = await hold(backend, made)
    await _write(backend, made, held, texts)
    return made, held


async def _write(
    backend: Backend,
    made: Generation,
    held: dict[int, int],
    texts: dict[str, Any],
    *,
    partition: int = 0,
) -> None:
    documents = [document(key, data, partition=partition) for key, data in texts.items()]
    await advance(backend, made, held, 0, documents=documents)


def _parsed(documents: Any) -> dict[str, Any]:
    return {key: same_json(data) for key, data in documents.items()}
