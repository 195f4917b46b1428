"""Canonical JSON: one text for a value, whatever store it has been in."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hitherto.application.canonical import canonical


def spelled(text: str) -> str:
    return bytes(canonical(text)).decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"b": 1, "a": {"d": [], "c": {}}}', '{"a":{"c":{},"d":[]},"b":1}'),
        ('{"a": 1, "b": 2, "a": 3}', '{"a":3,"b":2}'),
        ('{"é": 1, "z": 2, "Z": 3, "\U00010000": 4, "\uffff": 5}',
         '{"Z":3,"z":2,"é":1,"\uffff":5,"\U00010000":4}'),
        ('"\\u00e9\\/\\ud83d\\ude00"', '"é/😀"'),
        ('"\\u0001\\n"', '"\\u0001\\n"'),
        ("[true, false, null]", "[true,false,null]"),
        ('["NaN", "-Infinity", "1e300", "0.10"]', '["NaN","-Infinity","1e300","0.10"]'),
    ],
)  # fmt: skip
def test_a_value_has_one_text(text: str, expected: str) -> None:
    """Whatever the order of keys, the spaces and the escapes; texts that look like numbers stay."""
    assert spelled(text) == expected
    assert spelled(expected) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "0"), ("-0", "0"), ("-0.0", "0.0"), ("1.10", "1.10"), ("1.0e2", "100"),
        ("1e5", "100000"), ("1.5E-7", "0.00000015"), ("0e10", "0"), ("0e-5", "0.00000"),
        ("18446744073709551616", "18446744073709551616"),
        ("123456789012345678901234567890.10", "123456789012345678901234567890.10"),
        ("-1e300", "-1" + "0" * 300), ("1e-300", "0." + "0" * 299 + "1"), ("9" * 6000, "9" * 6000),
        ("1e6000", "1" + "0" * 6000), ("1e999999999", "1e999999999"), ("1e-99999", "1e-99999"),
        ("1e99999999999999999999", "1e99999999999999999999"), ("0e999999999", "0"),
    ],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_a_number_keeps_every_digit(text: str, expected: str) -> None:
    """Spelled as PostgreSQL does it, if it can hold the number at all."""
    assert spelled(text) == expected
    assert spelled(f'{{"a": [{text}]}}') == f'{{"a":[{expected}]}}'
    assert spelled(expected) == expected


@pytest.mark.parametrize(
    "text", ["", "{", '{"a":}', "NaN", "Infinity", "1" * 5000 + ",", '"\\ud800"', "[" * 100_000]
)
def test_what_is_no_json_is_refused(text: str) -> None:
    """Rather than written as something else."""
    with pytest.raises((ValueError, RecursionError)):
        canonical(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]))
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("aäb\n"), inner),
)  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values)
def test_it_tells_the_same_value(value: Any) -> None:
    """To the last digit."""
    text = json.dumps(value)
    assert _read(spelled(text)) == _read(text)
    assert spelled(json.dumps(value, indent=2, ensure_ascii=False)) == spelled(text)


def _read(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)
