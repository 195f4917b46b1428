"""The code in README and docs runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.acceptance.docs_blocks import PAGES, ROOT, blocks_of, name_of
from tests.acceptance.docs_surrounded import surrounded

pytestmark = pytest.mark.integration

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_python_blocks_of_a_page_run_one_after_the_other(page: Path, tmp_path: Path) -> None:
    """Each page is a program, with what surrounds its fragments."""
    blocks = [
        surrounded(each) if each.word == "no-run" else each.code
        for each in blocks_of(page)
        if each.language == "python" and each.word in {"", "no-run"}
    ]
    if not any(blocks):
        return
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks))
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path, env={**os.environ, "DATABASE_URL": "sqlite:///surrounded.db"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_readme_shows_the_output_that_its_programs_print(tmp_path: Path) -> None:
    """A newcomer compares; the second goes on from the first."""
    readme = (ROOT / "README.md").read_text()
    printed = subprocess.run(
        [sys.executable, "-c", "\n".join(BLOCK.findall(readme))],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    first, second = printed.stdout.splitlines()
    assert f"It prints `{first}`" in readme
    assert f"It prints `{second}`" in readme


@pytest.mark.parametrize("name", ["fastapi", "django"])
def test_what_a_page_shows_of_an_example_is_the_examples_own(name: str) -> None:
    """Or of what `hitherto new` makes, but for a few lines that show what else there is."""
    page = (ROOT / f"docs/how-to/use-with-{name}.md").read_text()
    (example,) = (ROOT / "examples").glob(f"{name}_*")
    made = ROOT / "src/hitherto/cli/new/template"
    code = "".join(
        path.read_text() for folder in (example, made) for path in sorted(folder.rglob("*.py"))
    )
    shown = re.findall(r"^```python no-run\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    foreign = [block for block in shown if block not in code]
    assert [block.splitlines()[0] for block in foreign] == [
        "async def as_user(user: CurrentUser) -> AsyncGenerator[None]:"
        if name == "fastapi"
        else '@override_settings(HITHERTO={"URL": "memory:"})'
    ]
