"""The views that the tests ask."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from examples.fastapi_service.accounts import Account

from hitherto.django import aget_store, arepository, get_store
from hitherto.sync import EventSerializationFailed, Repository, current_metadata

accounts = Repository(get_store(), Account)
get_accounts = arepository(Account)


def named(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(current_metadata().correlation_id))


async def anamed(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(current_metadata().correlation_id))


def missing(request: HttpRequest) -> HttpResponse:
    return HttpResponse(accounts.load("nobody").owner)


async def amissing(request: HttpRequest) -> HttpResponse:
    found = await get_accounts()
    assert found is await get_accounts()
    assert found.store is await aget_store()
    return HttpResponse((await found.load("nobody")).owner)


def broken(request: HttpRequest) -> HttpResponse:
    raise EventSerializationFailed("a secret of the inside")


urlpatterns = [
    path("named", named),
    path("anamed", anamed),
    path("missing", missing),
    path("amissing", amissing),
    path("broken", broken),
    path("ops/", include("hitherto.django.urls")),
]
