"""Accounts over HTTP: ``uvicorn examples.fastapi_service.service:app``."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec
from fastapi import Depends, FastAPI, Response
from pydantic import BaseModel

from hitherto import CommandBus, ProjectionWorker, Repository, connect
from hitherto.fastapi import CurrentStore, IdempotencyKey, IfMatch, etag, install, repository

from .accounts import Account, Balance, Balances

store = connect(timeout=3.0)  # DATABASE_URL, else sqlite:///hitherto.db
Accounts = Annotated[Repository[Account], Depends(repository(Account))]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    worker = ProjectionWorker(store, Balances())
    working = asyncio.create_task(worker.run())
    yield
    worker.stop()
    await working


app = FastAPI(title="Accounts", lifespan=lifespan)
install(app, store, operations="/ops")


class NewAccount(BaseModel):
    id: str
    owner: str


class Money(BaseModel):
    cents: int


class Deposit(msgspec.Struct, frozen=True):
    account_id: str
    cents: int


bus = CommandBus(store)
bus.route(
    Deposit,
    Repository(store, Account),
    id=lambda command: command.account_id,
    run=lambda account, command: account.deposit(command.cents),
)


@app.post("/accounts", status_code=201)
async def open_account(new: NewAccount, accounts: Accounts, response: Response) -> Balance:
    account = Account.open(new.id, new.owner)
    await accounts.save(account)
    response.headers["Location"] = f"/accounts/{account.id}"
    return _told(account, response)


@app.post("/accounts/{account_id}/deposits")
async def deposit(
    account_id: str, money: Money, accounts: Accounts, response: Response, key: IdempotencyKey
) -> Balance:
    await bus.send(Deposit(account_id, money.cents), id=key)
    return _told(await accounts.load(account_id), response)


@app.post("/accounts/{account_id}/withdrawals")
async def withdraw(
    account_id: str, money: Money, accounts: Accounts, response: Response, if_match: IfMatch
) -> Balance:
    def withdrawn(account: Account) -> Account:
        if_match.check(account)
        account.withdraw(money.cents)
        return account

    return _told(await accounts.update(account_id, withdrawn), response)


@app.get("/accounts/{account_id}")
async def show(account_id: str, accounts: Accounts, response: Response) -> Balance:
    return _told(await accounts.load(account_id), response)


@app.get("/accounts")
async def richest(store: CurrentStore) -> dict[str, Balance]:
    return await store.documents(Balances).find(order_by="cents", descending=True, limit=10)


def _told(account: Account, response: Response) -> Balance:
    response.headers["ETag"] = etag(account)
    return Balance(account.owner, account.cents)
