"""Type checkers accept the public API used well, and refuse it used wrongly."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow]

HERE = Path(__file__).parent
PROGRAM = HERE / "design_program.py"
ACCEPTED = [PROGRAM, HERE / "public_api.py"]
EVERY_EVENT = Path("docs/how-to/see-that-every-event-is-handled.md")

PRELUDE = """\
from typing import assert_never
from hitherto import Aggregate, Event, Repository, Store, sync

class UserCreated(Event):
    email: str
    name: str = ""

class OrderPlaced(Event):
    total: int

class User(Aggregate[UserCreated]):
    active: bool = False

class Order(Aggregate[OrderPlaced]):
    total: int = 0

async def use(
    store: Store,
    users: Repository[User],
    blocking: sync.Repository[User],
    event: UserCreated | OrderPlaced,
) -> None:
    user, order, created = User("u-1"), Order("o-1"), UserCreated(email="ada@example.com")
    print(store, users, blocking, user, order, created, event, assert_never)
"""

# What is wrong, the lines, and what mypy and pyright have to say about the last one.
REFUSED = {
    "state given to a constructor": (
        'User("u-1", active=True)',
        'Unexpected keyword argument "active" for "User"',
        'No parameter named "active"',
    ),
    "a field of an event set": (
        'created.email = "eve@example.com"',
        'Property "email" defined in "UserCreated" is read-only',
        'Cannot assign to attribute "email" for class "UserCreated".*is read-only',
    ),
    "a positional argument for an event": (
        'UserCreated("ada@example.com")',
        'Too many positional arguments for "UserCreated"',
        "Expected 0 positional arguments",
    ),
    "a missing field of an event": (
        'UserCreated(name="Ada")',
        'Missing named argument "email" for "UserCreated"',
        'Argument missing for parameter "email"',
    ),
    "a field of the wrong type": (
        "UserCreated(email=1)",
        'Argument "email" to "UserCreated" has incompatible type "int"; expected "str"',
        '"Literal\\[1\\]" is not assignable to "str"',
    ),
    "an unknown field of an event": (
        'UserCreated(email="", nmae="")',
        'Unexpected keyword argument "nmae" for "UserCreated"',
        'No parameter named "nmae"',
    ),
    "an event outside the union": (
        "user.record(OrderPlaced(total=1))",
        'Argument 1 to "record" of "Aggregate" has incompatible type "OrderPlaced"',
        '"OrderPlaced" is not assignable to "UserCreated"',
    ),
    "an aggregate of another type saved": (
        "await users.save(order)",
        'Argument 1 to "save" of "Repository" has incompatible type "Order"; expected "User"',
        '"Order" is not assignable to "User"',
    ),
    "an aggregate of another type saved without await": (
        "blocking.save(order)",
        'Argument 1 to "save" of "Repository" has incompatible type "Order"; expected "User"',
        '"Order" is not assignable to "User"',
    ),
    "a class that is no aggregate": (
        "Repository(store, UserCreated)",
        'Value of type variable "A" of "Repository" cannot be "UserCreated"',
        'Argument of type "type\\[UserCreated\\]" cannot be assigned to parameter "aggregate"',
    ),
    "a command for another aggregate": (
        'await users.update("u-1", lambda user: user.total)',
        '"User" has no attribute "total"',
        'Cannot access attribute "total" for class "User"',
    ),
    "a match that forgets an event": (
        """match event:
        case UserCreated():
            pass
        case _:
            assert_never(event)""",
        'Argument 1 to "assert_never" has incompatible type "OrderPlaced"; expected "Never"',
        'Type "OrderPlaced" is not assignable to type "Never"',
    ),
    "an async store given to the sync face": (
        "sync.Repository(store, User)",
        'Argument 1 to "Repository" has incompatible type "hitherto.application.store.Store"',
        '"hitherto.application.store.Store" is not assignable to "hitherto.sync.store.Store"',
    ),
}

Found = dict[str, list[tuple[int, str]]]


@pytest.fixture(scope="module")
def snippets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file for each wrong line, and the accepted files."""
    folder = tmp_path_factory.mktemp("snippets")
    for what, (line, _, _) in REFUSED.items():
        (folder / file_of(what)).write_text(f"{PRELUDE}    {line}\n")
    (folder / "prelude.py").write_text(PRELUDE)
    for path in ACCEPTED:
        (folder / path.name).write_text(path.read_text())
    (folder / "every_event.py").write_text("\n".join(python_of(EVERY_EVENT)))
    return folder


@pytest.fixture(scope="module")
def mypy_errors(snippets: Path) -> Found:
    """What `mypy --strict` says, by file."""
    ended = run(snippets, "-m", "mypy", "--strict", "--no-pretty", "--config-file=", ".")
    found: Found = {}
    for line in ended.stdout.splitlines():
        parsed = re.match(r"(\w+\.py):(\d+): error: (.*)", line)
        if parsed:
            found.setdefault(parsed[1], []).append((int(parsed[2]), parsed[3]))
    assert found, ended.stdout + ended.stderr
    return found


@pytest.fixture(scope="module")
def pyright_errors(snippets: Path) -> Found:
    """What pyright says in strict mode, by file."""
    settings = {"typeCheckingMode": "strict", "pythonVersion": "3.11", "include": ["*.py"]}
    (snippets / "pyrightconfig.json").write_text(json.dumps(settings))
    ended = run(snippets, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable)
    found: Found = {}
    for said in json.loads(ended.stdout)["generalDiagnostics"]:
        place = (said["range"]["start"]["line"] + 1, " ".join(said["message"].split()))
        found.setdefault(Path(said["file"]).name, []).append(place)
    assert found, ended.stdout + ended.stderr
    return found


@pytest.mark.parametrize("what", REFUSED)
def test_mypy_refuses(what: str, mypy_errors: Found) -> None:
    """The wrong line, and for the right reason."""
    check(what, REFUSED[what][1], mypy_errors)


@pytest.mark.parametrize("what", REFUSED)
def test_pyright_refuses(what: str, pyright_errors: Found) -> None:
    """The wrong line, and for the right reason."""
    check(what, REFUSED[what][2], pyright_errors)


@pytest.mark.parametrize(
    "name", ["prelude.py", "every_event.py", *(path.name for path in ACCEPTED)]
)
def test_both_accept_what_is_right(name: str, mypy_errors: Found, pyright_errors: Found) -> None:
    """In their strictest modes, without a word."""
    assert mypy_errors.get(name) is None
    assert pyright_errors.get(name) is None


def test_the_readme_begins_with_the_program() -> None:
    """Its first code is the program that the checkers accept, to the letter."""
    assert python_of(Path("README.md"))[0] == PROGRAM.read_text()


def test_the_program_runs(tmp_path: Path) -> None:
    """As it stands, with warnings as errors, leaving a database behind."""
    ended = run(tmp_path, "-W", "error", str(PROGRAM))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "John Doe False 2\n"
    assert (tmp_path / "users.db").exists()


def check(what: str, message: str, errors: Found) -> None:
    found = errors.get(file_of(what), [])
    wrong = PRELUDE.count("\n") + 1 + REFUSED[what][0].count("\n")
    assert {line for line, _ in found} == {wrong}, found
    assert any(re.search(message, said) for _, said in found), found


def python_of(page: Path) -> list[str]:
    """The code of a page, block by block."""
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def file_of(what: str) -> str:
    return f"{what.replace(' ', '_')}.py"


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
