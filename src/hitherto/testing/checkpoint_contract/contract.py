"""`CheckpointContract`: all of it in one class."""

import pytest

from hitherto.testing.checkpoint_contract.documents import DocumentContract
from hitherto.testing.checkpoint_contract.generations import GenerationContract
from hitherto.testing.checkpoint_contract.inline import InlineContract
from hitherto.testing.checkpoint_contract.leases import LeaseContract
from hitherto.testing.checkpoint_contract.parking import ParkingContract
from hitherto.testing.checkpoint_contract.progress import ProgressContract
from hitherto.testing.checkpoint_contract.sharing import SharingContract
from hitherto.testing.checkpoint_contract.status import StatusContract
from hitherto.testing.checkpoint_contract.switching import SwitchContract


class CheckpointContract(
    GenerationContract,
    SharingContract,
    LeaseContract,
    ProgressContract,
    ParkingContract,
    DocumentContract,
    SwitchContract,
    InlineContract,
    StatusContract,
):
    """What the checkpoints of every backend must do.

    Subclass it in your tests and provide a fixture named ``backend``, as for `StoreContract`.
    """

    pytestmark: pytest.MarkDecorator = pytest.mark.asyncio
