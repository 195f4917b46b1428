"""What every backend must do, as tests that its author runs."""

from hitherto.testing.store_contract.contract import StoreContract

__all__ = ["StoreContract"]
