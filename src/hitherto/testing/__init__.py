"""For tests: given/when/then for your aggregates, and the contracts that a backend must keep.

`given` needs nothing installed. The contracts need pytest and pytest-asyncio, `check_store`
hypothesis; each is imported when it is first asked for.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from hitherto.testing.clock import ManualClock
from hitherto.testing.given import given
from hitherto.testing.given_aggregate import Given, Outcome
from hitherto.testing.given_process import GivenProcess
from hitherto.testing.given_projection import GivenDocuments, GivenProjection, GivenTotals

if TYPE_CHECKING:
    from hitherto.testing.checkpoint_contract import CheckpointContract
    from hitherto.testing.crashes import Crash, check_crashes, stored
    from hitherto.testing.probe import Probe
    from hitherto.testing.repository_contract import RepositoryContract
    from hitherto.testing.roundtrip import verify_roundtrip
    from hitherto.testing.state_machine import check_store
    from hitherto.testing.store_contract import StoreContract

__all__ = [
    "CheckpointContract",
    "Crash",
    "Given",
    "GivenDocuments",
    "GivenProcess",
    "GivenProjection",
    "GivenTotals",
    "ManualClock",
    "Outcome",
    "Probe",
    "RepositoryContract",
    "StoreContract",
    "check_crashes",
    "check_store",
    "given",
    "stored",
    "verify_roundtrip",
]

_MODULES = {
    "CheckpointContract": "hitherto.testing.checkpoint_contract",
    "Crash": "hitherto.testing.crashes",
    "Probe": "hitherto.testing.probe",
    "RepositoryContract": "hitherto.testing.repository_contract",
    "StoreContract": "hitherto.testing.store_contract",
    "check_crashes": "hitherto.testing.crashes",
    "check_store": "hitherto.testing.state_machine",
    "stored": "hitherto.testing.crashes",
    "verify_roundtrip": "hitherto.testing.roundtrip",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if module not in sys.modules and "pytest" in sys.modules:
        sys.modules["pytest"].register_assert_rewrite(module)  # so that failures show values
    return getattr(importlib.import_module(module), name)
