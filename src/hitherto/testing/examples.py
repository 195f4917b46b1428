"""Strategies of hypothesis for event classes, made of their annotations."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from functools import partial
from typing import Any, TypeAlias

import hypothesis.strategies as st
from hypothesis import reject
from msgspec import inspect

from hitherto.domain.event import Event

Strategy: TypeAlias = "st.SearchStrategy[Any]"

_MOST = 4  # items, unless there must be more
_DAYS = timedelta(days=36_500)
_ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))])
_letters = st.characters(codec="utf-8", exclude_characters="\0")


def examples_of(cls: type[Event]) -> Strategy:
    """Events of a class: any that its annotations let through, and any store would take."""
    strategies = _Strategies()
    subject = {cls.__subject__: st.text(_letters, min_size=1, max_size=20)}
    return strategies.structure(inspect.type_info(cls), subject)


class _Strategies:
    """Makes strategies of what msgspec knows about types; structures may contain themselves."""

    def __init__(self) -> None:
        self._structures: dict[type, Strategy] = {}

    def of(self, info: Any) -> Strategy:
        name = type(info).__name__
        if name in _PLAIN:
            return _PLAIN[name](info)
        if name in {"StructType", "DataclassType"}:
            if info.cls not in self._structures:
                self._structures[info.cls] = st.deferred(lambda: self._structures[info.cls])
                self._structures[info.cls] = self.structure(info, {})
            return self._structures[info.cls]
        return self._container(name, info)

    def structure(self, info: Any, known: dict[Any, Strategy]) -> Strategy:
        needed: dict[str, Strategy] = {}
        optional: dict[str, Strategy] = {}
        for field in info.fields:
            found = known.get(field.name)
            kind = needed if field.required else optional
            kind[field.name] = self.of(field.type) if found is None else found
        return st.fixed_dictionaries(needed, optional=optional).map(partial(_made, info.cls))

    def _container(self, name: str, info: Any) -> Strategy:  # noqa: PLR0911  # one of each
        if name == "UnionType":
            return st.one_of([self.of(each) for each in info.types])
        if name == "TupleType":
            return st.tuples(*map(self.of, info.item_types))
        if name == "CustomType":
            return st.from_type(info.cls)
        least = info.min_length or 0
        most = max(least, min(_or(info.max_length, _MOST), _MOST))
        if name in {"DictType", "FrozenDictType"}:
            keys, values = self.of(info.key_type), self.of(info.value_type)
            return st.dictionaries(keys, values, min_size=least, max_size=most)
        items = self.of(info.item_type)
        if name == "FrozenSetType":
            return st.frozensets(items, min_size=least, max_size=most)
        return st.lists(items, min_size=least, max_size=most).map(tuple)


def _made(cls: Callable[..., Any], values: dict[str, Any]) -> Any:
    try:
        return cls(**values)
    except ValueError:  # It checks its fields itself, and refuses these.
        reject()


def _or(value: Any, other: Any) -> Any:
    return other if value is None else value


def _integers(info: inspect.IntType) -> Strategy:
    low = info.gt + 1 if info.gt is not None else _or(info.ge, -(2**63))
    high = info.lt - 1 if info.lt is not None else _or(info.le, 2**63 - 1)
    step = info.multiple_of or 1
    return st.integers(-(-low // step), high // step).map(lambda number: number * step)


def _floats(info: inspect.FloatType) -> Strategy:
    found = st.floats(
        _or(info.gt, info.ge), _or(info.lt, info.le), exclude_min=info.gt is not None,
        exclude_max=info.lt is not None, allow_nan=False, allow_infinity=False,
    )  # fmt: skip
    step = info.multiple_of
    return found if step is None else found.map(lambda number: number // step * step)


def _texts(info: inspect.StrType) -> Strategy:
    low, high = info.min_length or 0, info.max_length
    if info.pattern is None:
        return st.text(_letters, min_size=low, max_size=high)
    found = st.from_regex(info.pattern, alphabet=_letters)
    return found.filter(lambda text: low <= len(text) <= _or(high, len(text)))


def _datetimes(info: inspect.DateTimeType) -> Strategy:
    zones = st.none() if info.tz is False else _ZONES
    low, high = datetime(1900, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001  # they get a zone
    return st.datetimes(low, high, timezones=zones)


_PLAIN: dict[str, Callable[[Any], Strategy]] = {
    "AnyType": lambda _: st.none() | st.booleans() | st.integers(-9, 9) | st.text(_letters),
    "NoneType": lambda _: st.none(),
    "BoolType": lambda _: st.booleans(),
    "IntType": _integers,
    "FloatType": _floats,
    "StrType": _texts,
    "BytesType": lambda info: st.binary(min_size=info.min_length or 0, max_size=info.max_length),
    "DateTimeType": _datetimes,
    "DateType": lambda _: st.dates(min_value=date(1900, 1, 1)),
    "TimeType": lambda _: st.times(),
    "TimeDeltaType": lambda _: st.timedeltas(-_DAYS, _DAYS),
    "UUIDType": lambda _: st.uuids(),
    "DecimalType": lambda _: st.decimals(allow_nan=False, allow_infinity=False),
    "EnumType": lambda info: st.sampled_from(list(info.cls)),
    "LiteralType": lambda info: st.sampled_from(info.values),
}
