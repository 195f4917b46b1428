"""Stored events out of a store and into another one, as they are: no class is needed."""

from hitherto.application.moving.exporting import Exported, export_log
from hitherto.application.moving.files import made_whole, writing
from hitherto.application.moving.importing import Checked, Moved, check_file, import_file
from hitherto.application.moving.selecting import Filter, pages
from hitherto.application.moving.timers import copy_timers

__all__ = [
    "Checked",
    "Exported",
    "Filter",
    "Moved",
    "check_file",
    "copy_timers",
    "export_log",
    "import_file",
    "made_whole",
    "pages",
    "writing",
]
