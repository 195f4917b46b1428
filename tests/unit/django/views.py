"""What settings may name: a projection that may be inline, keys, a codec."""

from collections.abc import Collection, Sequence
from typing import Any

from examples.fastapi_service.accounts import AccountOpened

from hitherto import Context, JsonCodec, Projection, SubjectKey, on


class Vault:
    """Keys that no store has."""

    def __init__(self) -> None:
        self._keys: dict[str, SubjectKey] = {}

    async def keys(self, subjects: Collection[str]) -> Sequence[SubjectKey]:
        return [self._keys[each] for each in subjects if each in self._keys]

    async def make(self, subjects: Collection[str]) -> Sequence[SubjectKey]:
        return [self._keys.setdefault(each, SubjectKey.new(each)) for each in subjects]

    async def shred(self, subject: str) -> int:
        return 0


class Counted(JsonCodec):
    """Counts the decoders that it has made."""

    made = 0

    def decoder(self, type: Any) -> Any:
        self.made += 1
        return super().decoder(type)


class Opened(Projection[Any]):
    """Does nothing."""

    @on
    def opened(self, event: AccountOpened, context: Context[Any]) -> None: ...
