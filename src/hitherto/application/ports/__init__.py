"""What the application asks of a backend, and of its surroundings.

A backend is any class with these methods; `hitherto.testing.StoreContract` is the test that it
must pass.
"""

from hitherto.application.ports.archive import Archive
from hitherto.application.ports.backend import Backend, Inspection
from hitherto.application.ports.chain import Chain
from hitherto.application.ports.checkpoints import Checkpoints
from hitherto.application.ports.erasures import Erasures
from hitherto.application.ports.event_store import EventStore, SnapshotStore
from hitherto.application.ports.looking import Looking
from hitherto.application.ports.personal import PersonalData, PersonalKeys
from hitherto.application.ports.surroundings import Clock, Codec, IdFactory

__all__ = [
    "Archive",
    "Backend",
    "Chain",
    "Checkpoints",
    "Clock",
    "Codec",
    "Erasures",
    "EventStore",
    "IdFactory",
    "Inspection",
    "Looking",
    "PersonalData",
    "PersonalKeys",
    "SnapshotStore",
]
