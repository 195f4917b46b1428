"""A projection that may be inline."""

from typing import Any

from examples.fastapi_service.accounts import AccountOpened

from hitherto import Context, Projection, on


class Opened(Projection[Any]):
    """Does nothing."""

    @on
    def opened(self, event: AccountOpened, context: Context[Any]) -> None: ...
