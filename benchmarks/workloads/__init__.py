"""What is measured, one module for each family of workloads."""

from benchmarks.running import Family
from benchmarks.workloads import (
    appending,
    following,
    growth,
    importing,
    projecting,
    reading,
    saving,
    sqlite,
    sustained,
)

FAMILIES: tuple[Family, ...] = (
    *saving.FAMILIES,
    *appending.FAMILIES,
    *importing.FAMILIES,
    *reading.FAMILIES,
    *sustained.FAMILIES,
    *sqlite.FAMILIES,
    *projecting.FAMILIES,
    *following.FAMILIES,
    *growth.FAMILIES,
)

__all__ = ["FAMILIES"]
