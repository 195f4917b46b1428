"""Events in tables: record batches of Arrow, for pandas, polars and whatever reads them."""

from hitherto.application.frames.framing import Framing, Wanted
from hitherto.application.frames.libraries import Library, maker

__all__ = ["Framing", "Library", "Wanted", "maker"]
