"""`hitherto seal`, and what `hitherto verify` says of what it has signed."""

import asyncio
import errno
import json
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from hitherto import connect
from hitherto.cli.app import run
from hitherto.testing.store_contract.making import append_to

URL = "sqlite:///shop.db"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("EVENT_STORE_HASH_CHAIN", raising=False)


def append(*ids: str, hash_chain: bool = True, after: int = 0) -> None:
    """Store two events of each aggregate."""

    async def work() -> None:
        async with connect(URL, hash_chain=hash_chain) as store:
            for each in ids:
                await store.backend.append([append_to(each, 2, after=after)])

    asyncio.run(work())


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """The status, and what is on stdout; nothing is on stderr."""
    status = run(words)
    out, err = capsys.readouterr()
    assert err == ""
    return status, out


def sealed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """A signed checkpoint, in a file as well."""
    assert printed(capsys, "seal", "--make-key", "key")[0] == 0
    status, out = printed(capsys, "seal", URL, "--key", "key")
    assert status == 0
    Path("sealed.json").write_text(out)
    found: dict[str, Any] = json.loads(out)
    return found


def meddle(*statements: str) -> None:
    """Change the file, unseen by its triggers."""
    connection = apsw.Connection("shop.db")
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    for statement in statements:
        connection.execute(statement)
    connection.close()


COMPARED = ("--checkpoint", "sealed.json", "--public-key", "key.pub")


def test_a_pair_of_keys_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    """The private one for its owner alone; neither is written over."""
    status, out = printed(capsys, "seal", "--make-key", "key")
    assert status == 0
    assert "key.pub" in out
    assert stat.S_IMODE(Path("key").stat().st_mode) == 0o600
    assert "PRIVATE" in Path("key").read_text()
    assert "PUBLIC" in Path("key.pub").read_text()
    before = Path("key").read_bytes()
    assert run(["seal", "--make-key", "key"]) == 1
    assert "key is there already" in capsys.readouterr().err
    Path("key").unlink()
    assert run(["seal", "--make-key", "key"]) == 1
    assert not Path("key").exists()
    assert before


@pytest.mark.parametrize("failing", [1, 2])
def test_half_a_pair_of_keys_is_not_left(
    failing: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the disk is full, it can be tried again."""
    handles: list[int] = []
    fdopen = os.fdopen

    def full(handle: int, mode: str) -> Any:
        handles.append(handle)
        if len(handles) == failing:
            os.close(handle)
            raise OSError(errno.ENOSPC, "no space left")
        return fdopen(handle, mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", full)
        assert run(["seal", "--make-key", "key"]) == 1
    assert "no space left" in capsys.readouterr().err
    assert list(Path().glob("key*")) == []
    assert run(["seal", "--make-key", "key"]) == 0


def test_a_sealed_store_is_sound_however_it_grows(capsys: pytest.CaptureFixture[str]) -> None:
    """What comes later is not covered."""
    append("a", "b")
    checkpoint = sealed(capsys)
    assert {name: checkpoint[name] for name in ("format", "position", "events", "aggregates")} == {
        "format": "hitherto-checkpoint", "position": 4, "events": 4, "aggregates": 2,
    }  # fmt: skip
    append("a", after=2)
    append("c")
    status, out = printed(capsys, "verify", URL, *COMPARED)
    assert status == 0
    assert "Events in hash chains: 8" in out
    assert "Compared with what was sealed up to position 4" in out


def test_what_is_gone_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Though what is left is whole."""
    append("a", "b")
    sealed(capsys)
    meddle(
        "DELETE FROM event_store WHERE global_position = 4",
        "DELETE FROM event_hashes WHERE global_position = 4",
    )
    assert printed(capsys, "verify", URL)[0] == 0
    status, out = printed(capsys, "verify", URL, *COMPARED)
    assert status == 1
    assert "events-missing: 1\n  1 of the 4 events that were sealed on " in out


def test_what_was_replaced_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON, too."""
    append("a", "b")
    sealed(capsys)
    meddle("DELETE FROM event_hashes WHERE global_position > 2")
    assert run(["verify", URL, *COMPARED, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["sealed_position"], report["chained"], report["unchained"]) == (4, 2, 2)
    assert [finding["kind"] for finding in report["findings"]] == ["checkpoint-mismatch"]


def test_heads_without_a_hash_are_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, for stdout is the checkpoint."""
    append("a")
    append("b", hash_chain=False)
    assert run(["seal", "--make-key", "key"]) == 0
    capsys.readouterr()
    assert run(["seal", URL, "--key", "key"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["aggregates"] == 2
    assert err.startswith("1 of 2 aggregates end with an event without a hash")


@pytest.mark.parametrize("name", ["position", "events", "aggregates", "root", "sealed_at"])
def test_a_changed_checkpoint_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever was changed in it."""
    append("a")
    checkpoint = sealed(capsys)
    old = checkpoint[name]
    checkpoint[name] = old + 1 if isinstance(old, int) else old.replace("0", "1") + "0"
    Path("sealed.json").write_text(json.dumps(checkpoint))
    assert run(["verify", URL, *COMPARED]) == 1
    assert "sealed.json: its signature is wrong" in capsys.readouterr().err


def test_another_key_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """By its fingerprint, and if that was forged, by the signature."""
    append("a")
    checkpoint = sealed(capsys)
    _, out = printed(capsys, "seal", "--make-key", "other")
    other = out.split()[-1]
    words = ["verify", URL, "--checkpoint", "sealed.json", "--public-key", "other.pub"]
    assert run(words) == 1
    assert "has signed it, not" in capsys.readouterr().err
    Path("sealed.json").write_text(json.dumps({**checkpoint, "key": other}))
    assert run(words) == 1
    assert "its signature is wrong" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["seal", URL], "give --key FILE to sign with"),
        (["seal", "--key", "key", "--make-key", "new"], "give --key FILE to sign with"),
        (["seal", URL, "--make-key", "new"], "needs no store"),
        (["seal", URL, "--key", "nothing"], "nothing"),
        (["seal", URL, "--key", "key.pub"], "key.pub holds no private key"),
        (["verify", URL, "--checkpoint", "sealed.json"], "are given together"),
        (["verify", URL, "--public-key", "key.pub"], "are given together"),
        (["verify", URL, "--checkpoint", "key", "--public-key", "key.pub"], "is no checkpoint"),
        (["verify", URL, "--checkpoint", "sealed.json", "--public-key", "key"], "no public key"),
        (["verify", URL, "--checkpoint", "old.json", "--public-key", "key.pub"], "of the format"),
    ],
)
def test_what_makes_no_sense_is_an_error(
    words: Sequence[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line on stderr; nothing is made."""
    append("a")
    checkpoint = sealed(capsys)
    Path("old.json").write_text(json.dumps({**checkpoint, "version": 9}))
    before = sorted(Path().iterdir())
    assert run(words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hitherto: ")
    assert told in err
    assert err.count("\n") == 1
    assert sorted(Path().iterdir()) == before


def test_a_store_without_hashes_is_not_sealed(capsys: pytest.CaptureFixture[str]) -> None:
    """And it is told how they come."""
    append("a", hash_chain=False)
    assert run(["seal", "--make-key", "key"]) == 0
    capsys.readouterr()
    assert run(["seal", URL, "--key", "key"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "hash_chain=True" in err


def test_without_the_extra_it_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only who signs or verifies needs it."""
    monkeypatch.delitem(sys.modules, "hitherto.infrastructure.ed25519", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    assert run(["seal", "--make-key", "key"]) == 1
    assert "pip install 'hitherto[crypto]'" in capsys.readouterr().err


def test_the_environment_switches_chains_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For commands that store events, too."""
    append("a")
    assert run(["export", URL, "--to", "a.jsonl"]) == 0
    monkeypatch.setenv("EVENT_STORE_HASH_CHAIN", "true")
    asyncio.run(_made("sqlite:///copy.db"))
    assert run(["import", "a.jsonl", "sqlite:///copy.db"]) == 0
    capsys.readouterr()
    assert run(["verify", "sqlite:///copy.db", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["chained"] == 2
    monkeypatch.setenv("EVENT_STORE_HASH_CHAIN", "yes")
    assert run(["verify", "sqlite:///copy.db"]) == 1
    assert "EVENT_STORE_HASH_CHAIN='yes': give true or false" in capsys.readouterr().err


async def _made(url: str) -> None:
    async with connect(url):
        pass
