"""The blocks of the documentation that no test runs as they stand, and why.

Those of Python are compiled, and what they import of hitherto is looked for; of the command lines
those of `hitherto` are parsed by the command itself.
"""

_BROKER = "needs a broker: test_nats.py and test_redis.py run the same on real ones"
_EXAMPLE = "is the example's own code, as test_docs.py compares; test_services.py runs it"
_FOR_EVER = "goes on for ever"
_WORKERS = "shows several machines at work: test_projections_processes.py has them"
_FRAGMENT = "is a fragment without its surroundings"
_INSTALL = "installs packages"
_MADE = "is of a project that `hitherto new` makes, as test_docs.py compares; test_new.py runs it"
_MAKE = "is a target of the Makefile, or what one runs"
_NO_SERVER = "reaches a server that only the reader has"
_STORY = "is run by test_docs_stories.py, with what it needs"
_TRANSACTION = "is run by test_transactions_page.py"
_TYPES = "is what tests/typing has both checkers do with the same page"

PYTHON = {
    "docs/how-to/append-in-your-own-transaction.md": {
        "import os": _TRANSACTION,
        "import asyncio": _TRANSACTION,
        "import django": _TRANSACTION,
        "import psycopg": _TRANSACTION,
        "from sqlalchemy import create_engine, text": _TRANSACTION,
    },
    "docs/how-to/publish-events.md": {
        "from hitherto import ProjectionWorker, connect": _BROKER,
        "from hitherto.infrastructure.redis import RedisPublisher": _BROKER,
    },
    "docs/how-to/run-projections.md": {"import os": _STORY},
    "docs/how-to/use-with-django.md": {
        'INSTALLED_APPS = ["hitherto.django"]': _EXAMPLE,
        "HITHERTO = {": _EXAMPLE,
        "from hitherto.django import arepository, etag, get_store, idempotency_key_of, if_match": (
            _EXAMPLE
        ),
        "store = get_store()": _EXAMPLE,
        "@require_POST": _EXAMPLE,
        "@require_GET": _EXAMPLE,
        'path("ops/", include("hitherto.django.urls")),': _EXAMPLE,
        '@override_settings(HITHERTO={"URL": "memory:"})': _FRAGMENT,
    },
    "docs/how-to/use-with-fastapi.md": {
        "import asyncio": _EXAMPLE,
        "@pytest.fixture": _MADE,
        "async def test_open_orders_are_listed(client: AsyncClient, hitherto_store: Store) -> None:": _MADE,  # noqa: E501
        '@app.get("/accounts/{account_id}")': _EXAMPLE,
        '@app.post("/accounts/{account_id}/deposits")': _EXAMPLE,
        '@app.post("/accounts/{account_id}/withdrawals")': _EXAMPLE,
        "async def as_user(user: CurrentUser) -> AsyncGenerator[None]:": _FRAGMENT,
    },
}
"""Of a page, by the first line of the block."""

CONSOLE = {
    "CONTRIBUTING.md": {"make ": _MAKE},
    "README.md": {"make ": _MAKE, "pip install": _INSTALL},
    "docs/benchmarks.md": {"make ": _MAKE},
    "docs/how-to/check-events-before-a-release.md": {
        "hitherto check shop.orders": "is for a repository of git, with a commit to compare with",
    },
    "docs/how-to/detect-tampering.md": {"pip install": _INSTALL},
    "docs/how-to/look-into-a-store.md": {
        "hitherto log --follow": _FOR_EVER,
        "hitherto why": _STORY,
        "hitherto stats postgresql:": "is of many events; test_looking_postgres.py has few",
    },
    "docs/how-to/move-a-store.md": {
        "hitherto import changed.jsonl": _STORY,
    },
    "docs/how-to/publish-events.md": {"nats ": _BROKER},
    "docs/how-to/run-on-postgresql.md": {"export ": _NO_SERVER},
    "docs/how-to/run-projections.md": {
        "hitherto projections run": _FOR_EVER,
        "hitherto projections list": _WORKERS,
    },
    "docs/how-to/secure-the-store.md": {
        "export ": _NO_SERVER,
        "hitherto schema": "prints what test_postgres_role_script.py runs",
    },
    "docs/how-to/see-that-every-event-is-handled.md": {"mypy ": _TYPES, "pyright ": _TYPES},
    "docs/how-to/start-a-project.md": {"": "is done by test_new.py, but for the container"},
    "docs/how-to/use-with-django.md": {
        "python manage.py hitherto health": "is run by tests/unit/django/test_stores.py",
        "python manage.py hitherto projections": "is run by test_services.py",
        "python manage.py hitherto log --follow": _FOR_EVER,
    },
    "docs/how-to/use-with-fastapi.md": {"curl ": "asks the example, as test_services.py does"},
    "docs/reference/command-line.md": {
        "hitherto demo": "is run by test_docs_followed.py and test_demo_on_postgres.py",
    },
    "docs/reliability.md": {"make ": _MAKE, ".venv/bin/python -m tests.faults": _MAKE},
    "docs/tutorial.md": {"python -m venv": _INSTALL, "pip install": _INSTALL},
    "examples/django_project/README.md": {
        "pip install": _INSTALL, "export ": _EXAMPLE, "python ": _EXAMPLE, "curl ": _EXAMPLE,
    },
    "examples/fastapi_service/README.md": {
        "pip install": _INSTALL, "DATABASE_URL=": _EXAMPLE, "curl ": _EXAMPLE,
    },
}  # fmt: skip
"""Of a page, by the beginning of the command line."""
