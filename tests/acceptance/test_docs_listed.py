"""No block of the documentation is left out without a word, and no name without a page."""

import ast
import importlib
import itertools
import re
import shlex
import textwrap
from types import ModuleType

import pytest
from tests.acceptance.docs_blocks import PAGES, ROOT, Block, blocks_of, name_of
from tests.acceptance.docs_shell import AFTER_DEMO, STORIES, TRIED_OUT, TUTORIAL
from tests.acceptance.docs_surrounded import SURROUNDED
from tests.acceptance.docs_unrun import CONSOLE, PYTHON

import hitherto
import hitherto.django
import hitherto.fastapi
import hitherto.starlette
import hitherto.sync
import hitherto.testing
from hitherto.cli.app import app

_BLOCKS = [block for page in PAGES for block in blocks_of(page)]
_LANGUAGES = {
    "", "console", "dockerfile", "json", "python", "sql", "text", "toml", "yaml", "{eval-rst}",
    "{include}", "{toctree}",
}  # fmt: skip
_AWAITING = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST
_FOLLOWED = {name_of(page) for page in TUTORIAL + AFTER_DEMO + STORIES + TRIED_OUT}
_REFERENCE = ROOT / "docs/reference"


def test_every_block_says_what_it_is() -> None:
    """Otherwise code could hide in one that nobody looks at."""
    assert [each.where for each in _BLOCKS if each.language not in _LANGUAGES] == []
    bare = [each for each in _BLOCKS if not each.language]
    assert [each.where for each in bare if re.search(r"^(\$ |import |from )", each.code)] == []


def test_each_block_of_python_that_is_not_run_is_listed() -> None:
    """With a reason, in docs_unrun.py; what is listed there and gone is taken out."""
    unrun = [each for each in _BLOCKS if each.language == "python" and each.word == "no-run"]
    found = {(name_of(each.page), each.first) for each in unrun}
    listed = {(page, first) for page, reasons in PYTHON.items() for first in reasons}
    run = {(page, first) for page, blocks in SURROUNDED.items() for first in blocks}
    assert listed & run == set()
    assert found ^ (listed | run) == set()


def test_each_command_that_is_not_run_is_listed() -> None:
    """With a reason, in docs_unrun.py; what is listed there and gone is taken out."""
    used: set[tuple[str, str]] = set()
    missing: list[str] = []
    for block in _BLOCKS:
        page = name_of(block.page)
        for command in block.commands if block.language == "console" else []:
            reasons = [each for each in CONSOLE.get(page, {}) if command.startswith(each)]
            used.update((page, each) for each in reasons)
            if not reasons and page not in _FOLLOWED:
                missing.append(f"{block.where}: $ {command}")
    assert missing == []
    assert {(page, each) for page, reasons in CONSOLE.items() for each in reasons} - used == set()


@pytest.mark.parametrize(
    "block", [each for each in _BLOCKS if each.language == "python"], ids=lambda each: each.where
)
def test_a_block_of_python_has_the_form_of_it_and_imports_what_is_there(block: Block) -> None:
    """Also where it cannot be run."""
    code = textwrap.dedent(block.code)
    try:
        tree = compile(code, block.where, "exec", _AWAITING)
    except SyntaxError:
        assert code.startswith("except "), block.where
        tree = compile(f"try:\n    pass\n{code}", block.where, "exec", _AWAITING)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hitherto"):
            module = importlib.import_module(str(node.module))
            for name in node.names:
                assert hasattr(module, name.name), f"{node.module} has no {name.name}"


def words_of(command: str) -> list[str]:
    """What is handed to `hitherto` in a command line; empty where it runs something else."""
    if not re.match(r"(python manage\.py |\.venv/bin/)?hitherto ", command):
        return []
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|<>&;")
    lexer.whitespace_split = True
    words = itertools.takewhile(lambda word: not set(word) <= set("|<>&;"), lexer)
    return list(itertools.dropwhile(lambda word: not word.endswith("hitherto"), words))[1:]


_COMMANDS = [
    pytest.param(words, id=f"{block.where} {' '.join(words[:2])}")
    for block in _BLOCKS
    if block.language == "console"
    for command in block.commands
    if (words := words_of(command))
]


@pytest.mark.parametrize("words", _COMMANDS)
def test_a_command_of_hitherto_has_the_options_that_are_shown(words: list[str]) -> None:
    """The command itself parses them."""
    _, bound, _ = app.meta.parse_args(words, exit_on_error=False, print_error=False)
    app.parse_args(bound.args, exit_on_error=False, print_error=False)


@pytest.mark.parametrize(
    ("module", "page"),
    [
        (hitherto, "api"),
        (hitherto.sync, "api-sync"),
        (hitherto.testing, "api-testing"),
        (hitherto.fastapi, "api-integrations"),
        (hitherto.starlette, "api-integrations"),
        (hitherto.django, "api-integrations"),
    ],
)
def test_every_public_name_is_in_the_reference(module: ModuleType, page: str) -> None:
    """On the page of its module; names that `hitherto.sync` only hands on are on hitherto's."""
    text = (_REFERENCE / f"{page}.md").read_text()
    named = set(re.findall(r"^\.\. auto\w+:: (\w+)$", text, re.MULTILINE))
    handed_on = set(hitherto.__all__) if module is hitherto.sync else set()
    own = {
        name
        for name in module.__all__
        if name not in handed_on or getattr(module, name) is not getattr(hitherto, name)
    }
    assert own - named == set()
