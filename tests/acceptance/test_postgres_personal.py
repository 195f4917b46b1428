"""Personal fields on PostgreSQL under the roles of `hitherto schema --roles`."""

import pytest
from tests.acceptance.test_postgres_role_script import Made, made
from tests.contract.forgetting import ADA, Person, PersonJoined

from hitherto import Repository, SchemaMismatch, connect
from hitherto.application.forgetting import forget

pytestmark = pytest.mark.integration

__all__ = ["made"]


async def test_the_owner_alone_forgets(made: Made) -> None:
    """The writer makes keys and destroys none; the reader reads what is left."""
    async with connect(made.login("writer"), schema=made.schema) as store:
        people = Repository(store, Person, snapshot_every=1)
        ada = Person("ada")
        ada.record(PersonJoined(name=ADA))
        await people.save(ada)
        with pytest.raises(SchemaMismatch, match="permission denied for table personal_keys"):
            await forget(store, "ada")
        assert (await people.load("ada")).name == ADA
        assert await store.backend.read_snapshot("ada") is not None
    for role, keys, name in (("reader", 0, ADA), ("owner", 1, "[redacted]")):
        async with connect(made.login(role), schema=made.schema) as store:
            if keys:
                found = await forget(store, "ada")
                assert (found.keys, found.snapshots, found.left) == (1, 1, ())
            assert (await Repository(store, Person).load("ada")).name == name
