"""`hitherto completion`: the shells take it, and complete by it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from hitherto.cli.app import app, run

SHELLS = ("bash", "zsh", "fish")


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_is_in_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Those inside others, too."""
    told = script(shell, capsys)
    names = [name for name in app if not name.startswith("-")]
    assert len(names) > 15
    for name in [*names, "rebuild", "parked"]:
        assert name in told, name


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_can_read_it(
    shell: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Where it is installed."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell} here")
    file = tmp_path / "hitherto"
    file.write_text(script(shell, capsys))
    ended = subprocess.run(
        [program, "-n", str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ver"], ["verify"]),
        (["projections", "re"], ["rebuild", "reset", "resume", "retry"]),
        (["verify", "--sam"], ["--sample"]),
        (["completion", "z"], ["zsh"]),
    ],
)
def test_bash_completes_by_it(
    words: list[str], expected: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Commands, those inside others, options and values."""
    file = tmp_path / "hitherto"
    file.write_text(script("bash", capsys))
    line = " ".join(["hitherto", *words])
    asked = f"""
        source {file}
        COMP_WORDS=({line}) COMP_CWORD={len(words)} COMP_LINE="{line}" COMP_POINT={len(line)}
        _hitherto
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    ended = subprocess.run(
        ["bash", "-c", asked], capture_output=True, text=True, check=True, timeout=60
    )
    assert sorted(each.strip() for each in ended.stdout.splitlines()) == expected
