"""What watches a process asks for; include it where only your own machines reach it.

::

    urlpatterns = [..., path("ops/", include("hitherto.django.urls"))]

``healthz`` answers for as long as the process does, ``readyz`` with the store's health, ``metrics``
with what Prometheus scrapes. See `operations_app`. None of them asks a database of Django's, also
with ``ATOMIC_REQUESTS``.
"""

import importlib
from typing import Any

import msgspec
from django.db.transaction import non_atomic_requests
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from hitherto.django.stores import get_store

_RETRY_AFTER = 5  # seconds


@non_atomic_requests
@require_safe
@never_cache
def _healthz(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"alive\n", content_type="text/plain; charset=utf-8")


@non_atomic_requests
@require_safe
@never_cache
def _readyz(_request: HttpRequest) -> HttpResponse:
    report = get_store().health_check()
    answer = HttpResponse(msgspec.json.encode(report), content_type="application/json")
    if report.status == "unhealthy":
        answer.status_code = 503
        answer["Retry-After"] = str(_RETRY_AFTER)
    return answer


@non_atomic_requests
@require_safe
@never_cache
def _metrics(_request: HttpRequest) -> HttpResponse:
    try:
        library: Any = importlib.import_module("prometheus_client")
    except ModuleNotFoundError:
        told = b"the metrics need prometheus-client: pip install 'hitherto[prometheus]'\n"
        return HttpResponse(told, status=404, content_type="text/plain; charset=utf-8")
    return HttpResponse(
        library.generate_latest(library.REGISTRY), content_type=library.CONTENT_TYPE_LATEST
    )


app_name = "hitherto"
urlpatterns: list[URLPattern] = [
    path("healthz", _healthz, name="healthz"),
    path("readyz", _readyz, name="readyz"),
    path("metrics", _metrics, name="metrics"),
]
