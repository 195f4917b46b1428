"""A project made of the template: its files, with the project's name and version bound."""

import re
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

_TEMPLATE = Path(__file__).with_name("template")
_PACKAGE = re.compile(r"\bshop\b")
_BOUND = ">=0.0"
# Under their own names these would be obeyed where the template lies.
_NAMES = {
    "dockerignore": ".dockerignore",
    "gitignore": ".gitignore",
    "project.toml": "pyproject.toml",
}


def make_project(target: Path, package: str) -> None:
    """Make it, whole or not at all.

    Args:
        target: Its folder, which does not exist or is empty.
        package: The name of its package.

    Raises:
        OSError: It cannot be made there.
    """
    with TemporaryDirectory(prefix=f".{target.name}-", dir=target.absolute().parent) as folder:
        made = Path(folder) / target.name
        for file in _files():
            path = made / _PACKAGE.sub(package, str(file.parent)) / _NAMES.get(file.name, file.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            text = (_TEMPLATE / file).read_text(encoding="utf-8")
            text = _PACKAGE.sub(package, text).replace(_BOUND, bound(version("hitherto")))
            path.write_text(text, encoding="utf-8")
        made.rename(target)


def bound(release: str) -> str:
    """Which versions a project that was made by `release` works with.

    Before 1.0 a minor version may break things, from then on a major one.
    """
    major, minor, *_ = map(int, re.findall(r"\d+", release))
    return f">={release},<{major + 1}" if major else f">={release},<0.{minor + 1}"


def _files() -> list[Path]:
    """The template's, without what Python and tools leave there."""
    files = (path.relative_to(_TEMPLATE) for path in _TEMPLATE.rglob("*") if path.is_file())
    return sorted(
        file for file in files if not any(part[0] == "." for part in file.parts)
        and "__pycache__" not in file.parts
    )  # fmt: skip
