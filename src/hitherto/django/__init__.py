"""hitherto in Django: an app, with a store that the settings name.

::

    INSTALLED_APPS = [..., "hitherto.django"]
    MIDDLEWARE = [..., "hitherto.django.HithertoMiddleware"]
    HITHERTO = {"DATABASE": "default"}

    # anywhere
    users = Repository(get_store(), User)
"""

try:
    import django as _django  # noqa: F401  # pyright: ignore[reportUnusedImport]
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        "hitherto.django needs Django: pip install 'hitherto[django]'"
    ) from _error

from hitherto.django.middleware import HithertoMiddleware, idempotency_key_of, if_match
from hitherto.django.stores import aget_store, arepository, get_store
from hitherto.infrastructure.http import (
    InvalidHeader,
    Precondition,
    PreconditionFailed,
    PreconditionRequired,
    etag,
)

__all__ = [
    "HithertoMiddleware",
    "InvalidHeader",
    "Precondition",
    "PreconditionFailed",
    "PreconditionRequired",
    "aget_store",
    "arepository",
    "etag",
    "get_store",
    "idempotency_key_of",
    "if_match",
]
