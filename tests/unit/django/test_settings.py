"""`settings.HITHERTO`: what it may hold, and what ``manage.py check`` says of it."""

import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import override_settings

from hitherto import ConfigurationError, JsonCodec
from hitherto.django import get_store, stores
from hitherto.django.configuration import connect_arguments
from hitherto.infrastructure.prometheus import PrometheusInstrumentation


def arguments(**given: Any) -> dict[str, Any]:
    with override_settings(HITHERTO=given):
        return connect_arguments()


@pytest.mark.parametrize(
    ("alias", "url"),
    [
        ("default", "postgresql://clerk:p%40ss%2Fword@db.example:5433/shop?sslmode=require"),
        ("local", "postgresql:///shop"),
        ("socket", "postgresql://clerk@/shop?host=%2Frun%2Fpostgresql&port=5433"),
        ("many", "postgresql://a.example:5432,[::1]:5433/shop"),
    ],
)
def test_the_store_can_be_in_one_of_djangos_databases(alias: str, url: str) -> None:
    """Its URL is made of that one's settings."""
    assert arguments(DATABASE=alias) == {"url": url}


def test_the_settings_are_connects_arguments() -> None:
    """In capitals; objects may be named by dotted paths, and are made once."""
    named = "hitherto.infrastructure.prometheus.PrometheusInstrumentation"
    found = arguments(
        URL="memory:",
        MAX_CONNECTIONS=5,
        INSTRUMENTATION=named,
        CODEC=JsonCodec(),
        LOGGER="shop.events",
        CLOCK="hitherto.application.store.utc_now",
        INLINE=["tests.unit.django.views.Opened"],
    )
    assert (found["url"], found["max_connections"]) == ("memory:", 5)
    assert type(found["instrumentation"]) is PrometheusInstrumentation
    assert arguments(INSTRUMENTATION=named)["instrumentation"] is found["instrumentation"]
    assert type(found["codec"]) is JsonCodec
    assert found["logger"] is logging.getLogger("shop.events")
    assert found["clock"]().tzinfo is not None
    assert [each.name for each in found["inline"]] == ["Opened"]


def test_without_a_url_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/shop")
    assert arguments() == {"url": "postgresql://elsewhere/shop"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("memory:", "HITHERTO is a str: make it a dict"),
        ({"URI": "memory:"}, "HITHERTO['URI'] is no setting: use DATABASE, URL, MAX_CONNECTIONS"),
        ({"URL": "mysql://db/shop"}, "is no store's URL"),
        ({"URL": "memory:", "BATCH_SIZE": 0}, "batch_size=0: give an integer"),
        ({"URL": "memory:", "DATABASE": "default"}, "both URL and DATABASE"),
        ({"DATABASE": "other"}, "DATABASES has default, local"),
        ({"DATABASE": ["default"]}, "DATABASES has default, local"),
        ({"DATABASE": "file"}, "no PostgreSQL database"),
        ({"DATABASE": "nameless"}, "no PostgreSQL database with a NAME"),
        ({"DATABASE": "service"}, "no PostgreSQL database with a NAME"),
        ({"URL": "sqlite:////tmp/django/../django/site.db"}, "the file of DATABASES['file']"),
        ({"URL": "memory:", "CODEC": "shop.Codec"}, "HITHERTO['CODEC']: No module named 'shop'"),
        ({"URL": "memory:", "INLINE": "shop.Balances"}, "give a list"),
        ({"URL": "memory:", "INLINE": ["examples.fastapi_service.accounts.Balances"]}, "inline"),
    ],
)
def test_a_wrong_setting_is_told_by_check(given: Any, told: str) -> None:
    """With what may be there; nothing is connected to."""
    with override_settings(HITHERTO=given):
        (message,) = run_checks(tags=["hitherto"])
    assert (message.id, message.is_serious()) == ("hitherto.E001", True)
    assert told in message.msg
    assert "p@ss" not in message.msg


def test_a_module_that_asks_for_the_store_of_which_it_is_a_part_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than wait for itself."""
    module = tmp_path / "circular_ids.py"
    module.write_text("from hitherto.django import get_store\nget_store()\nnew_id = str\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(stores, "_store", None)
    told: list[str] = []

    def ask() -> None:
        with pytest.raises(ConfigurationError) as refused:
            get_store()
        told.append(str(refused.value))

    with override_settings(HITHERTO={"URL": "memory:", "NEW_ID": "circular_ids.new_id"}):
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(60)
    assert "no module that calls get_store where it begins" in told[0]


def test_right_settings_pass_the_check(tmp_path: Path) -> None:
    """No server and no file is needed for it."""
    for given in ({"DATABASE": "default"}, {"URL": f"sqlite:///{tmp_path / 'events.db'}"}):
        with override_settings(HITHERTO=given):
            assert run_checks(tags=["hitherto"]) == []
    assert list(tmp_path.iterdir()) == []
