"""What `Repository` must do on every backend and through every face, as tests."""

from hitherto.testing.repository_contract.contract import RepositoryContract

__all__ = ["RepositoryContract"]
