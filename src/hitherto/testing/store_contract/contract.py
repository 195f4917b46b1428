"""`StoreContract`: all of it in one class."""

import pytest

from hitherto.testing.store_contract.alongside import AlongsideContract, TimerContract
from hitherto.testing.store_contract.appends import AppendContract, GroupContract
from hitherto.testing.store_contract.archiving import ArchiveContract
from hitherto.testing.store_contract.chains import ChainContract
from hitherto.testing.store_contract.content import ContentContract
from hitherto.testing.store_contract.erasing import EraseContract
from hitherto.testing.store_contract.imports import ImportContract
from hitherto.testing.store_contract.inspection import InspectionContract
from hitherto.testing.store_contract.lifecycle import LifecycleContract
from hitherto.testing.store_contract.loads import LoadContract
from hitherto.testing.store_contract.log import LogContract
from hitherto.testing.store_contract.looking import LookingContract
from hitherto.testing.store_contract.races import RaceContract
from hitherto.testing.store_contract.reads import ReadContract
from hitherto.testing.store_contract.repeats import RepeatContract
from hitherto.testing.store_contract.snapshots import SnapshotContract
from hitherto.testing.store_contract.tombstones import TombstoneContract
from hitherto.testing.store_contract.waiting import WaitContract


class StoreContract(
    AppendContract,
    GroupContract,
    RepeatContract,
    AlongsideContract,
    TimerContract,
    ImportContract,
    ReadContract,
    LoadContract,
    LogContract,
    WaitContract,
    SnapshotContract,
    ContentContract,
    RaceContract,
    InspectionContract,
    LookingContract,
    ChainContract,
    ArchiveContract,
    TombstoneContract,
    EraseContract,
    LifecycleContract,
):
    """What every backend must do.

    Subclass it in your tests and provide a fixture named ``backend``: a new and empty store,
    opened, and closed in the end. It needs pytest-asyncio, in either of its modes::

        class TestMyStore(StoreContract):
            @pytest_asyncio.fixture
            async def backend(self, tmp_path):
                store = MyStore(tmp_path)
                await store.open()
                yield store
                await store.close()
    """

    pytestmark: pytest.MarkDecorator = pytest.mark.asyncio
