# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""Generations of a view: made, switched and begun anew, in the writer's transaction."""

import apsw

from hitherto.application.checkpoints import Change, Generation
from hitherto.infrastructure.checkpoints import generation_for, superseded
from hitherto.infrastructure.sql import named_queries
from hitherto.infrastructure.sqlite.handlers import run
from hitherto.infrastructure.sqlite.reading import highest_position, select

_SQL = named_queries("hitherto.infrastructure.sqlite", "projections.sql")

Current = dict[str, Generation]
"""The generations that are not retired, by state."""


def current(connection: apsw.Connection, name: str) -> Current:
    """Those of one projection."""
    return {
        state: Generation(
            name=name, number=number, version=version, state=state, partitions=partitions
        )
        for number, version, state, partitions in select(connection, _SQL["current"], (name,))
    }


def prepare(
    connection: apsw.Connection,
    name: str,
    *,
    version: int,
    partitions: int,
    rebuild: bool,
    setup: Change,
    after: int,
) -> Generation:
    """See `Checkpoints.prepare`."""
    found = current(connection, name)
    active, filling = found.get("active"), found.get("filling")
    standing = generation_for(version, active, filling, rebuild=rebuild)
    if standing is not None:
        return standing
    made = Generation(
        name=name,
        number=select(connection, _SQL["next_number"], (name,))[0][0],
        version=version,
        state="filling" if active else "active",
        partitions=partitions,
    )
    _make(connection, made, setup, filling, after=0 if active else after)
    return made


def take_inline(connection: apsw.Connection, name: str, version: int, setup: Change) -> bool:
    """See `Checkpoints.take_inline`."""
    active = current(connection, name).get("active")
    watermark = highest_position(connection)
    if active is None:
        if watermark:
            return False
        active = Generation(name=name, number=1, version=version, state="active", partitions=1)
        _make(connection, active, setup, None)
    if version < active.version:
        raise superseded(version, active)
    reached, _ = _extent(connection, active)
    if version > active.version or reached < watermark:
        return False
    if not is_inline(connection, name, version):
        if _has_parked(connection, active):
            return False
        connection.execute(_SQL["take_inline"], {"name": name, "generation": active.number})
    return True


def is_inline(connection: apsw.Connection, name: str, version: int) -> bool:
    """Whether that version is the active one, and is run by appends."""
    return bool(select(connection, _SQL["is_inline"], (name, version)))


def switch(
    connection: apsw.Connection, generation: Generation, *, side_effects: bool, finish: Change
) -> bool:
    """See `Checkpoints.switch`."""
    name = generation.name
    found = current(connection, name)
    new, old = found.get("filling"), found.get("active")
    if new is None or old is None or new.number != generation.number:
        return False
    lowest, highest = _extent(connection, new)
    reached, _ = _extent(connection, old)
    if highest > reached if side_effects else lowest < reached:
        return False
    ((_, paused, inline, _),) = select(connection, _SQL["state"], (name, old.number))
    if inline and _has_parked(connection, new):
        return False
    if side_effects:
        same = old.number if old.partitions == new.partitions else None
        handover = {"name": name, "new": new.number, "old": same, "reached": reached}
        connection.execute(_SQL["leave_effects"], handover)
    _retire(connection, old)
    bindings = {"name": name, "generation": new.number, "paused": paused, "inline": inline}
    connection.execute(_SQL["activate"], bindings)
    run(connection, repr(name), lambda: finish(connection, new, old))
    return True


def reset(connection: apsw.Connection, name: str, setup: Change) -> bool:
    """See `Checkpoints.reset`."""
    active = current(connection, name).get("active")
    if active is None:
        return False
    connection.execute(_SQL["reset"], {"name": name, "generation": active.number})
    run(connection, repr(name), lambda: setup(connection, active, active))
    return True


def has_table(connection: apsw.Connection, name: str) -> bool:
    """See `Checkpoints.has_table`."""
    schema, _, table = name.rpartition(".")
    return bool(select(connection, _SQL["has_table"], (table, schema or None)))


def pause(connection: apsw.Connection, name: str, *, paused: bool) -> bool:
    """See `Checkpoints.pause`."""
    return bool(select(connection, _SQL["pause"], (paused, name)))


def _make(
    connection: apsw.Connection,
    made: Generation,
    setup: Change,
    old: Generation | None,
    *,
    after: int = 0,
) -> None:
    if old is not None:
        _retire(connection, old)
    name, number = made.name, made.number
    connection.execute(_SQL["make"], (name, number, made.version, made.state, made.partitions))
    begin = select(connection, _SQL["last_up_to"], (after,)) or [(0, None)]
    rows = [(name, number, partition, *begin[0]) for partition in range(made.partitions)]
    connection.executemany(_SQL["make_partition"], rows)
    run(connection, repr(name), lambda: setup(connection, made, old))


def _retire(connection: apsw.Connection, generation: Generation) -> None:
    bindings = {"name": generation.name, "generation": generation.number}
    connection.execute(_SQL["retire"], bindings)


def _has_parked(connection: apsw.Connection, generation: Generation) -> bool:
    return bool(select(connection, _SQL["parked"], (generation.name, generation.number)))


def _extent(connection: apsw.Connection, generation: Generation) -> tuple[int, int]:
    """The lowest and the highest checkpoint."""
    (found,) = select(connection, _SQL["extent"], (generation.name, generation.number))
    return found[0], found[1]
