"""`hitherto replay-diff` of git revisions: laid out, imported from, and removed again."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from hitherto import Event, Repository, connect
from hitherto.cli.app import run
from hitherto.domain.aggregate import Aggregate

pytestmark = pytest.mark.integration

ORDERS = """
from hitherto import Aggregate, Event
from shop.prices import PRICE
import os
import time

class Placed(Event):
    pieces: int

class Order(Aggregate[Placed]):
    total: int = 0

    def apply(self, event):
        self.total += event.pieces * PRICE
        while os.environ.get("HANG") and PRICE == 3:
            time.sleep(0.01)
"""


class Placed(Event):
    pieces: int


class Order(Aggregate[Placed]):
    """As it is stored; the versions of the code are in the repository."""

    def apply(self, event: Placed) -> None:
        """Nothing comes of it."""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository in which `main` has another price than the files, and a store with 3 orders."""
    before = set(psutil.Process().children())
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    repository = tmp_path / "repository"
    (repository / "shop").mkdir(parents=True)
    monkeypatch.chdir(repository)
    git("init", "--quiet", "--initial-branch", "main")
    Path("shop/orders.py").write_text(ORDERS)
    Path("shop/prices.py").write_text("PRICE = 2\n")
    commit("first")
    git("tag", "first")
    Path("shop/prices.py").write_text("PRICE = 1 + 1\n")
    Path("shop/extra.py").write_text("from shop.orders import Order\n")
    commit("second")
    Path("shop/prices.py").write_text("PRICE = 3\n")
    asyncio.run(place(f"sqlite:///{repository}/shop.db"))
    yield repository
    assert list((tmp_path / "temporary").iterdir()) == []
    left = {each for each in psutil.Process().children() if each.name() != "sh"}  # a server's
    assert left <= before


async def place(url: str) -> None:
    async with connect(url) as store:
        for number in range(3):
            order = Order(f"order-{number}")
            order.record(Placed(pieces=number))
            await Repository(store, Order).save(order)


def git(*words: str) -> None:
    subprocess.run(["git", *words], check=True, capture_output=True)


def commit(message: str) -> None:
    git("add", "shop")
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    git(*author, "commit", "--quiet", "--message", message)


def printed(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    """The status, and the lines on stdout; there is nothing on stderr."""
    status = run(["replay-diff", *words])
    out, err = capfd.readouterr()
    assert err == ""
    return status, [line for line in out.splitlines() if line]


def test_a_revision_is_compared_with_the_files(
    shop: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What the module imports in its turn is of the same revision."""
    words = ("shop.orders:Order@main", "shop.orders:Order", "--url", "sqlite:///shop.db")
    status, lines = printed(capfd, *words)
    assert (status, lines[0]) == (1, "Order: 2 of 3 differ")
    assert [lines[3], lines[5]] == ["order-1 since version 1", "  total: 2 → 3"]
    assert [lines[6], lines[8]] == ["order-2 since version 1", "  total: 4 → 6"]


@pytest.mark.parametrize("old", ["shop.orders@first", "shop.orders:Order@HEAD~1"])
@pytest.mark.parametrize("new", ["shop.orders@main", "shop.extra@HEAD", "shop.orders@@{0}"])
def test_two_revisions_are_compared(
    old: str, new: str, shop: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """However they are named; here the second one is an equivalent rewrite of the first."""
    words = (old, new, "--url", "sqlite:///shop.db", "--jobs", "4")
    assert printed(capfd, *words) == (0, ["Order: 3 folded, none differs"])


def test_modules_are_found_as_they_are_from_here(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In another folder than the repository's, and where the path of Python leads to."""
    Path("code/src").mkdir(parents=True)
    Path("code/here").mkdir()
    Path("code/here/readme").write_text("")
    git("mv", "shop", "code/src/shop")
    git("add", "code")
    Path("code/src/shop/prices.py").write_text("PRICE = 2\n")
    git("add", "code")
    git("-c", "user.name=Ada", "-c", "user.email=a@example.com", "commit", "--message", "moved")
    Path("code/src/shop/prices.py").write_text("PRICE = 3\n")
    monkeypatch.chdir("code/here")
    monkeypatch.syspath_prepend(str(shop / "code" / "src"))
    words = ("shop.orders:Order@main", "shop.orders:Order", "--url", "sqlite:///../../shop.db")
    status, lines = printed(capfd, *words)
    assert (status, lines[0], lines[5]) == (1, "Order: 2 of 3 differ", "  total: 2 → 3")


def test_todays_files_do_not_take_the_place_of_what_was_not_there(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`src` is of today, and tracked; installed packages in the repository are not tracked."""
    Path("src").mkdir()
    Path("src/helper.py").write_text("")
    git("add", "src")
    Path("installed").mkdir()
    Path("installed/library.py").write_text("VALUE = 1\n")
    Path("shop/needy.py").write_text("import library\nfrom shop.orders import Order\n")
    Path("shop/wrong.py").write_text("import helper\nfrom shop.orders import Order\n")
    for each in ("src", "installed"):
        monkeypatch.syspath_prepend(str(shop / each))
    git("add", "shop")
    git("reset", "--quiet", "src")
    git("-c", "user.name=Ada", "-c", "user.email=a@example.com", "commit", "--message", "third")
    git("add", "src")
    words = ("--url", "sqlite:///shop.db")
    assert printed(capfd, "shop.needy@main", "shop.needy@main", *words)[0] == 0
    assert run(["replay-diff", "shop.wrong@main", "shop.needy@main", *words]) == 1
    assert "No module named 'helper'" in capfd.readouterr().err


def test_a_module_of_today_is_no_part_of_a_revision(
    shop: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As a package in editable mode may be, which is found by a hook and not by the path."""
    Path("shop/rates.py").write_text("")
    hook = f"import sys\nsys.path.append({str(shop / 'shop')!r})\nimport rates\n"
    Path("shop/hooked.py").write_text(f"{hook}from shop.orders import Order\n")
    commit("third")
    words = ("--url", "sqlite:///shop.db")
    assert run(["replay-diff", "shop.hooked@main", "shop.hooked", *words]) == 1
    assert "the module 'rates' is that of today" in capfd.readouterr().err


def test_links_that_lead_out_of_the_repository_are_left_out(
    shop: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """They are no reason not to compare; nothing is unpacked outside."""
    Path("shop/absolute").symlink_to("/etc/hostname")
    Path("shop/outside").symlink_to("../../elsewhere")
    commit("links")
    words = ("shop.orders@main", "shop.orders@first", "--url", "sqlite:///shop.db")
    assert printed(capfd, *words)[0] == 1  # It has another price by now.


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("shop.orders@nothing", "there is no revision 'nothing' in the git repository"),
        ("shop.orders@--all", "there is no revision '--all' in the git repository"),
        ("shop.orders@first:shop", "there is no revision 'first:shop' in the git repository"),
        (
            "shop.extra@first",
            "at revision 'first': 'shop.extra': the module 'shop.extra' cannot be",
        ),
        ("shop.orders:Nobody@main", "the module 'shop.orders' has no 'Nobody'; it has Order"),
        (
            "hitherto.examples.traffic_fines@main",
            "at revision 'main': the module 'hitherto.examples.traffic_fines' is not there",
        ),
    ],
)
def test_what_is_not_there_is_told_before_the_store_is_read(
    word: str, told: str, shop: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """There is no such store."""
    assert run(["replay-diff", word, "shop.orders", "--url", "sqlite:///nothing.db"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("hitherto: ")
    assert told in err


def test_without_a_repository_there_are_no_revisions(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nor without git."""
    words = ["replay-diff", "shop.orders@main", "shop.orders", "--url", "sqlite:///nothing.db"]
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(shop.parent))
    monkeypatch.chdir(shop.parent)
    assert run(words) == 1
    assert "not a git repository" in capfd.readouterr().err
    monkeypatch.setenv("PATH", "")
    assert run(words) == 1
    assert "a revision needs git, which is not installed" in capfd.readouterr().err


def test_ctrl_c_leaves_nothing_behind(shop: Path, tmp_path: Path) -> None:
    """Neither files nor processes, though a fold hangs; the fixture looks."""
    words: Sequence[str] = ("shop.orders@main", "shop.orders", "--url", "sqlite:///shop.db")
    with subprocess.Popen(
        [sys.executable, "-m", "hitherto.cli", "replay-diff", *words],
        env={**os.environ, "HANG": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:  # fmt: skip
        workers = busy_workers(process.pid)
        assert len(list((tmp_path / "temporary").iterdir())) == 1
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"", b"")
    assert not any(each.is_running() for each in workers)


def busy_workers(pid: int) -> list[psutil.Process]:
    """The processes that fold for a process, once one of them has begun to hang."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = psutil.Process(pid).children()
        if len(found) == 2 and any(len(each.open_files()) > 1 for each in found):
            return found
        time.sleep(0.05)
    raise AssertionError("they do not begin")


def test_workers_end_when_the_command_is_killed(shop: Path, tmp_path: Path) -> None:
    """Even one whose fold hangs; only the files are left then."""
    words: Sequence[str] = ("shop.orders", "shop.orders", "--url", "sqlite:///shop.db")
    with subprocess.Popen(
        [sys.executable, "-m", "hitherto.cli", "replay-diff", *words],
        env={**os.environ, "HANG": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        workers = busy_workers(process.pid)
        process.kill()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []
