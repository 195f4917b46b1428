"""Tables of before, taken over as aggregates, and kept in step with them for a while."""

from hitherto.application.adopting.adoption import Adoption, Row, mapping_of
from hitherto.application.adopting.baseline import Adopted, Refusal, adopt
from hitherto.application.adopting.capturing import Capture
from hitherto.application.adopting.comparing import Compared, Difference, compare
from hitherto.application.adopting.in_step import AdoptedTable, InStep
from hitherto.application.adopting.mapped import Mapped
from hitherto.application.adopting.ports import Change, LegacyTable, Settling

__all__ = [
    "Adopted",
    "AdoptedTable",
    "Adoption",
    "Capture",
    "Change",
    "Compared",
    "Difference",
    "InStep",
    "LegacyTable",
    "Mapped",
    "Refusal",
    "Row",
    "Settling",
    "adopt",
    "compare",
    "mapping_of",
]
