"""The memory backend: the reference implementation, for tests and examples."""

from hitherto.infrastructure.memory.store import MemoryStore

__all__ = ["MemoryStore"]
