"""`etag` and `Precondition`: an aggregate's version as HTTP tells and expects it, by RFC 9110."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from hitherto.domain.aggregate import Aggregate
from hitherto.errors import AggregateError, HithertoError
from hitherto.infrastructure.http.headers import InvalidHeader

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"[\s,]*{_TAG}(?:\s*,[\s,]*{_TAG})*[\s,]*")


class PreconditionFailed(AggregateError):
    """The aggregate is not at a version that If-Match names; nothing was decided.

    Attributes:
        aggregate_id: The aggregate.
        expected: The header.
        actual: The version that the store holds.
    """

    def __init__(self, aggregate_id: str, expected: str, actual: int) -> None:
        super().__init__(aggregate_id, expected, actual)
        self.aggregate_id = aggregate_id
        self.expected = expected
        self.actual = actual

    def __str__(self) -> str:
        return (
            f"aggregate {self.aggregate_id!r} is at version {self.actual}, "
            f"not at what If-Match expects, {self.expected}: get it again and decide anew"
        )


class PreconditionRequired(HithertoError):
    """The request must say by If-Match which version it was decided on."""


def etag(version: int | Aggregate[Any]) -> str:
    """The entity tag of a version, or of that of an aggregate: strong, as If-Match needs it."""
    return f'"{version if isinstance(version, int) else version.version}"'


@dataclass(frozen=True, slots=True)
class Precondition:
    """What a request's If-Match expects; call `check` where the aggregate is decided on.

    That is in the function given to `Repository.update`, so that it also holds when another
    writer was first and the function is called again::

        def withdraw(account: Account) -> Account:
            if_match.check(account)
            account.withdraw(cents)
            return account

        account = await accounts.update(account_id, withdraw)

    Attributes:
        header: As it was given; None: there was none, and any version will do.
    """

    header: str | None = None

    @classmethod
    def of(cls, headers: Sequence[str], *, required: bool = False) -> Self:
        """What the If-Match headers of a request expect, together.

        Raises:
            InvalidHeader: They are no list of entity tags, nor ``*``.
            PreconditionRequired: There are none, but there have to be.
        """
        header = ", ".join(headers).strip() if headers else None
        if header is None and required:
            raise PreconditionRequired(
                "this request needs If-Match, with the ETag of what it was decided on"
            )
        if header is not None and header != "*" and not _TAGS.fullmatch(header):
            raise InvalidHeader('If-Match: give an ETag in its quotes, such as "3", several, or *')
        return cls(header)

    def check(self, aggregate: Aggregate[Any]) -> None:
        """Go on if the aggregate is at a version that is expected.

        Tags are compared strongly: a weak one is none of ours, and never matches.

        Raises:
            PreconditionFailed: It is at another.
        """
        if self.header is None or (self.header == "*" and aggregate.version):
            return
        if etag(aggregate) not in re.findall(_TAG, self.header):
            raise PreconditionFailed(aggregate.id, self.header, aggregate.version)
