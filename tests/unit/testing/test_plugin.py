"""The pytest plugin: stores and a clock, whoever runs async tests."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

import hitherto.testing.stores  # else each run in this process would import it anew

pytest_plugins = ["pytester"]

DOMAIN = """
    from datetime import timedelta
    from hitherto import Aggregate, Event, Repository, sync

    class Lit(Event):
        pass

    class Lamp(Aggregate[Lit]):
        def apply(self, event): ...

    def lamp():
        lamp = Lamp("lamp-1")
        lamp.record(Lit())
        return lamp
"""
ASYNC = """
    async def test_a_store(hitherto_store, hitherto_clock):
        lamps = Repository(hitherto_store, Lamp)
        hitherto_clock.advance(timedelta(days=1))
        await lamps.save(lamp())
        (lit,) = await lamps.history("lamp-1")
        assert lit.occurred_at == hitherto_clock.now

    async def test_another_one(hitherto_store):
        assert await hitherto_store.watermark() == 0
        assert type(hitherto_store.backend.backend.backend).__name__ == "{backend}"
"""
SYNC = """
    def test_a_sync_store(hitherto_sync_store, hitherto_clock):
        lamps = sync.Repository(hitherto_sync_store, Lamp)
        lamps.save(lamp())
        assert lamps.history("lamp-1")[0].occurred_at == hitherto_clock.now

    def test_another_sync_store(hitherto_sync_store):
        assert not sync.Repository(hitherto_sync_store, Lamp).exists("lamp-1")
"""
RUNNERS = {
    "asyncio, auto": ("", "-o", "asyncio_mode=auto", "-p", "no:anyio"),
    "asyncio, strict": ("pytestmark = pytest.mark.asyncio", "-o", "asyncio_mode=strict"),
    "anyio": ("pytestmark = pytest.mark.anyio", "-p", "no:asyncio"),
    "anyio, beside asyncio": ("pytestmark = pytest.mark.anyio", "-o", "asyncio_mode=strict"),
}
QUIET = (  # what would cost most of the time
    *("-p", "no:cacheprovider", "-p", "no:cov", "-p", "no:hypothesispytest", "-p", "no:xdist"),
    *("--assert=plain", "-o", "asyncio_default_fixture_loop_scope=function"),
)
ANYIO = "\n    @pytest.fixture\n    def anyio_backend():\n        return 'asyncio'\n"


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> "Run":
    """Runs tests under the plugin, by its entry point or, where that is not installed, by name."""
    monkeypatch.delenv("HITHERTO_STORE", raising=False)
    return Run(pytester)


class Run:
    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        assert hitherto.testing.stores
        installed = any(each.name == "hitherto" for each in entry_points(group="pytest11"))
        self.options = [] if installed else ["-p", "pytest_hitherto"]

    def __call__(self, code: str, *options: str) -> pytest.RunResult:
        self.pytester.makepyfile("    import pytest\n" + DOMAIN + code)
        return self.pytester.runpytest_inprocess(*self.options, *QUIET, *options)


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_store_is_there_whoever_runs_async_tests(run: Run, runner: str) -> None:
    """New for each test, and on the test's clock."""
    mark, *options = RUNNERS[runner]
    code = ASYNC.replace("{backend}", "MemoryStore") + f"\n    {mark}\n"
    run(code + (ANYIO if "anyio" in mark else ""), *options).assert_outcomes(passed=2)


def test_a_sync_store_needs_no_runner(run: Run) -> None:
    """It is new for each test, too."""
    run(SYNC, "-p", "no:asyncio", "-p", "no:anyio").assert_outcomes(passed=2)


@pytest.mark.parametrize("way", ["flag", "ini", "environment"])
def test_the_store_may_be_another(run: Run, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a flag, the environment, or the configuration."""
    options = ["-o", "asyncio_mode=auto"]
    if way == "flag":
        options += ["--hitherto-store", "sqlite:"]
    if way == "ini":
        run.pytester.makeini("[pytest]\nhitherto_store = sqlite:\n")
    if way == "environment":
        monkeypatch.setenv("HITHERTO_STORE", "sqlite:")
    run(ASYNC.replace("{backend}", "SqliteStore") + SYNC, *options).assert_outcomes(passed=4)


def test_another_url_is_refused_at_the_start(run: Run) -> None:
    """Without telling it, for it may hold a password."""
    ended = run(SYNC, "--hitherto-store", "mysql://root:secret@localhost")
    assert ended.ret == pytest.ExitCode.USAGE_ERROR
    ended.stderr.fnmatch_lines(["*give memory:, sqlite: (a file of its own for each test) or*"])
    assert "secret" not in ended.stderr.str() + ended.stdout.str()


def test_settings_and_the_clock_may_be_overridden(run: Run) -> None:
    """By fixtures of the same names."""
    code = """
    from datetime import UTC, datetime

    @pytest.fixture
    def hitherto_clock():
        return lambda: datetime(1969, 7, 20, tzinfo=UTC)

    @pytest.fixture
    def hitherto_settings():
        return {"snapshot_threshold": 7}

    async def test_it(hitherto_store):
        assert hitherto_store.clock().year == 1969
        assert hitherto_store.snapshot_threshold == 7
    """
    run(code, "-o", "asyncio_mode=auto").assert_outcomes(passed=1)


FORGETFUL = """
    from hitherto import Process, projection, on
    from hitherto.testing import given

    def fail(*_):
        raise ZeroDivisionError("oops")

    class Timer(Process[Lit]):
        @on
        def lit(self, event: Lit, recorded):
            fail()

    def view(event: Lit, context):
        fail()

    @pytest.mark.parametrize("subject, happening", [
        (Lamp, fail), (Timer, Lit()), (projection("view", view), Lit())
    ])
    class Test:
        def test_forgets(self, subject, happening):
            given(subject).when(happening)

        @pytest.mark.xfail(raises=KeyError, strict=True)
        def test_raises_itself(self, subject, happening):
            given(subject).when(happening)
            raise KeyError

        def test_asks(self, subject, happening):
            given(subject).when(happening).then_raises(ZeroDivisionError)
            assert given(subject).when(happening).error is not None
"""


def test_what_a_when_has_raised_fails_a_test_that_does_not_ask_for_it(run: Run) -> None:
    """Else it would pass, whatever it was to look at; a test that fails for itself is let be."""
    result = run(FORGETFUL)
    result.assert_outcomes(passed=3, failed=3, xfailed=3)
    for who in ("Lamp 'given-1': the command", "Timer 'Timer-given-1'", "projection 'view'"):
        told = f"{who} raised ZeroDivisionError('oops'), which the test does not ask for: end *"
        result.stdout.fnmatch_lines([told])


def test_the_plugin_imports_nothing_of_hitherto() -> None:
    """Until a fixture is asked for: starting pytest stays fast, and coverage is measured whole."""
    code = "import sys, pytest_hitherto; sys.exit('hitherto' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.integration
def test_on_postgresql_each_test_has_a_schema_of_its_own(run: Run, postgres_url: str) -> None:
    """Which is dropped with all that is in it."""
    code = (
        ASYNC.replace("{backend}", "PostgresStore")
        + SYNC
        + f"""
    import asyncpg

    async def test_nothing_is_left():
        connection = await asyncpg.connect("{postgres_url}")
        left = await connection.fetch(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'hitherto_test%'"
        )
        await connection.close()
        assert left == []
    """
    )
    options = ["-o", "asyncio_mode=auto", "--hitherto-store", postgres_url]
    run(code, *options).assert_outcomes(passed=5)
