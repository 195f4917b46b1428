"""Django's test runner, on a project whose store is in one of its databases."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from tests.servers import new_schema

pytestmark = pytest.mark.integration

_SETTINGS = """
INSTALLED_APPS = ["hitherto.django"]
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "TEST": {"NAME": "%(name)s"},
    "HOST": "%(host)s", "PORT": %(port)d, "USER": "%(user)s", "PASSWORD": "%(password)s",
}}
HITHERTO = {"DATABASE": "default"}
"""
_TESTS = """
from django.db import connection
from django.test import TestCase
from examples.fastapi_service.accounts import Account
from hitherto.django import get_store
from hitherto.sync import Repository

class AccountTests(TestCase):
    def test_it_is_saved(self):
        accounts = Repository(get_store(), Account)
        accounts.save(Account.open("ann", "Ann"))
        accounts.within(connection).save(Account.open("bob", "Bob"))
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_database(), count(*) FROM event_store")
            self.assertEqual(cursor.fetchone(), ("%(name)s", 2))
"""


async def test_a_runner_can_drop_the_database_that_the_store_was_in(
    postgres_url: str, tmp_path: Path
) -> None:
    """The server refuses to while anybody is connected to it."""
    parts, name = urlsplit(postgres_url), new_schema()
    given = {
        "name": name,
        "host": parts.hostname,
        "port": parts.port,
        "user": parts.username,
        "password": parts.password or "",
    }
    (tmp_path / "settings.py").write_text(_SETTINGS % given)
    (tmp_path / "test_accounts.py").write_text(_TESTS % given)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    ended = subprocess.run(
        [sys.executable, "-m", "django", "test", "--settings=settings", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path}, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "Ran 1 test" in ended.stderr
    connection = await asyncpg.connect(postgres_url)
    try:
        query = "SELECT count(*) FROM pg_database WHERE datname = $1"
        assert not await connection.fetchval(query, name)
    finally:
        await connection.close()
