"""The examples of the page about transactions run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.acceptance.callers import connected
from tests.acceptance.postgres_stores import with_database

pytestmark = pytest.mark.integration

_PAGE = Path(__file__).parents[2] / "docs/how-to/append-in-your-own-transaction.md"
_BLOCK = re.compile(r"^```python no-run\n(.*?)^```", re.MULTILINE | re.DOTALL)
_TABLE = re.compile(r"^```sql\n(.*?)^```", re.MULTILINE | re.DOTALL)


async def test_the_examples_take_from_the_stock_and_place_the_order(
    postgres_url: str, postgres_schema: str, tmp_path: Path
) -> None:
    """One for each driver, one after the other."""
    url = with_database(postgres_url, postgres_schema)
    (table,) = _TABLE.findall(_PAGE.read_text())
    shop, *examples = _BLOCK.findall(_PAGE.read_text())
    (tmp_path / "shop.py").write_text(shop)
    assert len(examples) == 6
    async with connected(postgres_url) as admin:
        await admin.execute(f"CREATE DATABASE {postgres_schema}")
        async with connected(url) as customer:
            await customer.execute(table)
            printed = [_run(example, url, tmp_path) for example in examples]
            assert printed == ["tea"] * 5 + ["tea 4"]
            assert await customer.fetchval("SELECT pieces FROM stock") == 4
        await admin.execute(f"DROP DATABASE {postgres_schema}")


def _run(example: str, url: str, folder: Path) -> str:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=folder, env={**os.environ, "DATABASE_URL": url},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()
