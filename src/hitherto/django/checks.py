"""Whether the settings make a store, told by ``manage.py check``."""

from typing import Any

from django.core.checks import CheckMessage, Error

from hitherto.connect import connect
from hitherto.django.configuration import connect_arguments
from hitherto.errors import HithertoError


def check_settings(**_options: Any) -> list[CheckMessage]:
    """``hitherto.E001``: what is wrong with `settings.HITHERTO`. Nothing is connected to."""
    try:
        connect(**connect_arguments())
    except HithertoError as error:
        return [Error(str(error), id="hitherto.E001", obj="settings.HITHERTO")]
    return []
