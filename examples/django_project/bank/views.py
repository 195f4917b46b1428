"""Accounts over HTTP, without await and, where it is read, with."""

from typing import TypeVar

import msgspec
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import View
from django.views.decorators.http import require_GET, require_POST

from hitherto.django import arepository, etag, get_store, idempotency_key_of, if_match
from hitherto.sync import CommandBus, InvalidInput, Repository

from .accounts import Account, Balances

T = TypeVar("T")

store = get_store()
accounts = Repository(store, Account)
get_accounts = arepository(Account)


class NewAccount(msgspec.Struct, frozen=True):
    id: str
    owner: str


class Money(msgspec.Struct, frozen=True):
    cents: int


class Deposit(msgspec.Struct, frozen=True):
    account_id: str
    cents: int


bus = CommandBus(store)
bus.route(
    Deposit,
    accounts,
    id=lambda command: command.account_id,
    run=lambda account, command: account.deposit(command.cents),
)


class Accounts(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        richest = store.documents(Balances).find(order_by="cents", descending=True, limit=10)
        return JsonResponse(msgspec.to_builtins(richest))

    def post(self, request: HttpRequest) -> HttpResponse:
        new = _body(request, NewAccount)
        account = Account.open(new.id, new.owner)
        accounts.save(account)
        answer = _told(account, status=201)
        answer["Location"] = f"/accounts/{account.id}"
        return answer


@require_POST
def deposit(request: HttpRequest, account_id: str) -> HttpResponse:
    command = Deposit(account_id, _body(request, Money).cents)
    bus.send(command, id=idempotency_key_of(request))
    return _told(accounts.load(account_id))


@require_POST
def withdraw(request: HttpRequest, account_id: str) -> HttpResponse:
    money, expected = _body(request, Money), if_match(request)

    def withdrawn(account: Account) -> Account:
        expected.check(account)
        account.withdraw(money.cents)
        return account

    return _told(accounts.update(account_id, withdrawn))


@require_GET
async def show(request: HttpRequest, account_id: str) -> HttpResponse:
    accounts = await get_accounts()
    return _told(await accounts.load(account_id))


def _told(account: Account, status: int = 200) -> HttpResponse:
    body = {"owner": account.owner, "cents": account.cents}
    return JsonResponse(body, status=status, headers={"ETag": etag(account)})


def _body(request: HttpRequest, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(request.body, type=kind)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"the body: {error}") from None
