"""The pytest plugin of hitherto: stores and a clock for tests, and a look at what they forget.

It is a package of its own, and imports hitherto when a fixture is first asked for, so that it
costs nothing at the start, and no measuring of coverage comes too late.
"""

import os
import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hitherto import Store, sync
    from hitherto.testing import ManualClock

_HELP = (
    "where hitherto_store and hitherto_sync_store are: memory: (the default), sqlite:, a file for "
    "each test, or postgresql://…, a schema for each test"
)
_VARIABLE = "HITHERTO_STORE"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tell where stores are: ``--hitherto-store``, ``HITHERTO_STORE`` or ``hitherto_store``."""
    parser.getgroup("hitherto").addoption("--hitherto-store", metavar="URL", help=_HELP)
    parser.addini("hitherto_store", _HELP)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what is no store's URL, before any test."""
    url = _url(config)
    if url not in {"memory:", "sqlite:"} and not url.startswith(("postgresql://", "postgres://")):
        raise pytest.UsageError(
            "--hitherto-store, HITHERTO_STORE or hitherto_store: give memory:, sqlite: (a file of "
            "its own for each test) or postgresql://…"
        )


@pytest.hookimpl(tryfirst=True, wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Have the async store opened by whoever runs the test: anyio if it does, else pytest-asyncio.

    In its strict mode pytest-asyncio passes over fixtures without its own mark; anyio takes any.
    """
    if fixturedef.argname == "hitherto_store" and fixturedef.func.__module__ == __name__:
        function: Any = fixturedef.func
        function._force_asyncio_fixture = "anyio_backend" not in request.fixturenames
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Fail a test that passes though a `when` in it has raised, and it has not asked for that."""
    _take_unasked()  # of a test that has failed
    result = yield
    for told in _take_unasked():
        pytest.fail(told, pytrace=False)
    return result


def _take_unasked() -> list[str]:
    module: Any = sys.modules.get("hitherto.testing.unasked")
    return module.take() if module else []


@pytest.fixture
def hitherto_clock() -> "ManualClock":
    """The clock of the test's stores, which it turns; see `hitherto.testing.ManualClock`."""
    from hitherto.testing import ManualClock  # noqa: PLC0415

    return ManualClock()


@pytest.fixture
def hitherto_settings() -> dict[str, Any]:
    """What else is given to `connect`; override it, such as to return ``{"inline": […]}``."""
    return {}


@pytest.fixture
async def hitherto_store(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    hitherto_clock: "ManualClock",
    hitherto_settings: dict[str, Any],
) -> AsyncGenerator["Store"]:
    """A new, empty, open store for the test."""
    from hitherto.testing.stores import new_store  # noqa: PLC0415

    settings = {"clock": hitherto_clock, **hitherto_settings}
    async with new_store(_url(request.config), tmp_path, **settings) as store:
        yield store


@pytest.fixture
def hitherto_sync_store(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    hitherto_clock: "ManualClock",
    hitherto_settings: dict[str, Any],
) -> Generator["sync.Store"]:
    """The same for tests that are not async, another one than `hitherto_store`."""
    from hitherto.testing.stores import new_sync_store  # noqa: PLC0415

    settings = {"clock": hitherto_clock, **hitherto_settings}
    with new_sync_store(_url(request.config), tmp_path, **settings) as store:
        yield store


def _url(config: pytest.Config) -> str:
    given = config.getoption("hitherto_store") or os.environ.get(_VARIABLE)
    return str(given or config.getini("hitherto_store") or "memory:")
