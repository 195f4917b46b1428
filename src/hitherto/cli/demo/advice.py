"""What to try after the demo: commands that work as they are printed, where it ran."""

import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from hitherto.infrastructure.urls import without_password

_COUNT = "SELECT event_type, count(*) FROM event_store GROUP BY event_type"


def left_by(url: str, schema: str) -> str:
    """Where the demo's events are."""
    if url.startswith("sqlite:"):
        return f"The events are in the file {_file(url)}."
    if url == "memory:":
        return "The events were in memory, and are gone."
    return (
        f"The events are in {without_password(url)}, schema {schema}. Set DATABASE_URL to the "
        "URL that you gave, and:"
    )


def commands_for(url: str, schema: str, fine_id: str) -> Iterator[str]:
    """Commands that look into what was left, and one that shows the tables."""
    if url.startswith("sqlite:"):
        yield _sqlite(_file(url))
        yield _show(fine_id, f"--url {shlex.quote(url)}")
        yield _load(f"url={_literal(url)}", fine_id)
        yield f"{_program('hitherto')} schema --backend sqlite"
    elif url != "memory:":
        counting = _COUNT.replace("event_store", f"{schema}.event_store")
        yield f'psql "$DATABASE_URL" -c {shlex.quote(counting)}'
        yield _show(fine_id, f"--schema {schema}")
        yield _load(f"schema={_literal(schema)}", fine_id)
        yield f"{_program('hitherto')} schema --schema {schema}"
    else:
        yield f"{_program('hitherto')} demo"


def _sqlite(file: str) -> str:
    if shutil.which("sqlite3"):
        return f"sqlite3 {shlex.quote(file)} {shlex.quote(_COUNT)}"
    rows = f"sqlite3.connect({_literal(file)}).execute({_literal(_COUNT)})"
    return f"{_program('python')} -c {shlex.quote(f'import sqlite3; print(*{rows}, sep=chr(10))')}"


def _show(fine_id: str, where: str) -> str:
    aggregate = "--aggregates hitherto.examples.traffic_fines:Fine"
    return f"{_program('hitherto')} show {shlex.quote(fine_id)} {aggregate} --at 3 {where}"


def _load(settings: str, fine_id: str) -> str:
    code = (
        "from hitherto.sync import Repository, connect; "
        "from hitherto.examples.traffic_fines import Fine; "
        f"store = connect({settings}); store.open(); "
        f"print(Repository(store, Fine).load({_literal(fine_id)}, version=3).outstanding)"
    )
    return f"{_program('python')} -c {shlex.quote(code)}"


def _program(name: str) -> str:
    """How to call a program of this environment from here, as short as can be."""
    program = Path(sys.executable).with_name(name)
    if shutil.which(name) == str(program):
        return name
    here = Path.cwd()
    if here == program.parent:
        return f"./{name}"
    short = program.relative_to(here) if program.is_relative_to(here) else program
    return shlex.quote(str(short))


def _literal(text: str) -> str:
    """`text` in Python, without JSON's escapes, which name an owl by two surrogates."""
    return json.dumps(text, ensure_ascii=False)


def _file(url: str) -> str:
    return unquote(url.removeprefix("sqlite:///"))
