"""`log_event`: one line for people, one attribute each for formatters."""

import logging

import pytest

from hitherto.application.logging import log_event

LOGGER = logging.getLogger("hitherto.tests")
RESERVED = sorted({*vars(logging.makeLogRecord({})), "message", "asctime"})


def test_a_line_has_the_name_and_the_values(caplog: pytest.LogCaptureFixture) -> None:
    """In the order given, as `repr` writes them; so no value can start a line of its own."""
    log_event(LOGGER, logging.WARNING, "call_retried", call="append", attempt=2, error="a\nb")
    (record,) = caplog.records
    assert record.getMessage() == r"call_retried call='append' attempt=2 error='a\nb'"
    assert (record.levelno, record.name) == (logging.WARNING, "hitherto.tests")


def test_an_event_without_values_is_its_name(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing after it."""
    log_event(LOGGER, logging.ERROR, "stopped")
    assert caplog.messages == ["stopped"]


def test_formatters_get_the_values_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    """As they are, not as text."""
    log_event(LOGGER, logging.WARNING, "call_retried", attempt=2)
    (record,) = caplog.records
    assert vars(record)["event"] == "call_retried"
    assert vars(record)["attempt"] == 2


def test_the_record_tells_where_the_event_was_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Not where `log_event` is."""
    log_event(LOGGER, logging.WARNING, "happened")
    assert caplog.records[0].pathname == __file__


@pytest.mark.parametrize("name", RESERVED)
def test_a_name_that_the_record_has_already_is_no_error(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is in the line all the same, and the record's own value stays."""
    log_event(LOGGER, logging.WARNING, "happened", **{name: "value"})
    (record,) = caplog.records
    assert record.getMessage() == f"happened {name}='value'"
    assert record.levelno == logging.WARNING


def test_what_is_not_enabled_costs_no_text() -> None:
    """The values are not even looked at."""

    class Costly:
        def __repr__(self) -> str:
            raise AssertionError("it was written")

    quiet = logging.Logger("quiet", logging.ERROR)
    log_event(quiet, logging.WARNING, "happened", value=Costly())
