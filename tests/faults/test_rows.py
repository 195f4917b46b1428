"""The quick part of the fault matrix: each row does some harm, and every promise is kept."""

import pytest
from tests.faults.registry import execute, names, row

pytestmark = pytest.mark.integration

_SEED = 1


@pytest.mark.parametrize("name", names())
async def test_the_promises_are_kept(name: str) -> None:
    """The whole matrix: `make faults`."""
    quick = row(name).quick
    result = await execute(name, row(name), seed=_SEED, count=quick)
    if result.skipped:
        pytest.skip(result.skipped)
    assert result.outcome.violations == []
    assert result.outcome.faults.total() >= quick
