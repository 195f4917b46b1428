"""A store of real fines, for the commands that look into one."""

import shutil
from pathlib import Path

import pytest
from tests.acceptance.sound_store import make_store


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its file, which nobody changes."""
    path = tmp_path_factory.mktemp("sound") / "fines.db"
    make_store(f"sqlite:///{path}")
    return path


@pytest.fixture
def fines_url(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store in the current folder; 80 columns, no colours, whatever the surroundings say."""
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    shutil.copy(sound, tmp_path / "fines.db")
    return "sqlite:///fines.db"
