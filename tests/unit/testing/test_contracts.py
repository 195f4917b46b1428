"""The contracts that backends must keep."""

from collections import Counter

import pytest

from hitherto.testing import CheckpointContract, RepositoryContract, StoreContract


@pytest.mark.parametrize("contract", [CheckpointContract, RepositoryContract, StoreContract])
def test_no_test_hides_another_of_the_same_name(contract: type) -> None:
    """A contract is made of many classes, and of two methods of one name only one would run."""
    names = Counter(
        name for base in contract.__mro__ for name in vars(base) if name.startswith("test_")
    )
    assert len(names) > 50
    assert [name for name, count in names.items() if count > 1] == []
