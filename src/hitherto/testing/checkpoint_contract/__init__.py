"""What the checkpoints of every backend must do, as tests that its author runs."""

from hitherto.testing.checkpoint_contract.contract import CheckpointContract

__all__ = ["CheckpointContract"]
