"""Pure: no I/O, no async, no clock."""
