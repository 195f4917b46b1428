"""`RepositoryContract`: all of it in one class."""

import pytest

from hitherto.testing.repository_contract.bad_input import BadInputContract
from hitherto.testing.repository_contract.bad_snapshots import (
    BadSnapshotContract,
    FailingSnapshotContract,
)
from hitherto.testing.repository_contract.deciders import DeciderContract
from hitherto.testing.repository_contract.loading import LoadContract, StoredEventContract
from hitherto.testing.repository_contract.metadata import MetadataContract
from hitherto.testing.repository_contract.saving import SaveAllContract, SaveContract
from hitherto.testing.repository_contract.snapshots import (
    SnapshotPolicyContract,
    SnapshotTruthContract,
    UnencodableContract,
)
from hitherto.testing.repository_contract.upcasting import UpcastingContract
from hitherto.testing.repository_contract.updating import UpdateContract


class RepositoryContract(
    SaveContract,
    SaveAllContract,
    LoadContract,
    StoredEventContract,
    MetadataContract,
    UpdateContract,
    UpcastingContract,
    SnapshotPolicyContract,
    SnapshotTruthContract,
    BadSnapshotContract,
    FailingSnapshotContract,
    UnencodableContract,
    DeciderContract,
    BadInputContract,
):
    """What a `Repository` must do, whatever store it stands on.

    Subclass it in your tests and provide a fixture named ``backend``, as for `StoreContract`;
    it may be open already or not. To run it over another face of store and repository, override
    `open_store` and `make_repository`.
    """

    pytestmark: pytest.MarkDecorator = pytest.mark.asyncio
