"""Versions of the code that the command line names: the files here, or those of a git revision."""

import subprocess
import sys
import tarfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from hitherto.errors import ConfigurationError

_FORM = "give MODULE:NAME or MODULE, and @REVISION after it for another one, as shop.orders@main"


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the code, and how to import it.

    Attributes:
        label: As it was named.
        name: MODULE:NAME, or MODULE.
        folder: The current folder of whoever imports it.
        path: Where modules are looked for.
        root: What the module must lie in; None: anywhere.
        top: Where the repository's files of today are, of which none is to be imported.
        revision: Of which it is; None: the files here.
    """

    label: str
    name: str
    folder: str
    path: list[str]
    root: str | None = None
    top: str | None = None
    revision: str | None = None


@contextmanager
def laid_out(words: Sequence[str]) -> Generator[list[Code]]:
    """The versions that some words name; the files of revisions are there until the block ends.

    Raises:
        ConfigurationError: A word names no code, or no revision of the repository here.
    """
    parts = [_parts(word) for word in words]
    here = str(Path.cwd())
    path = [here, *(each for each in sys.path if each not in {"", here})]
    with ExitStack() as stack:
        trees: dict[str, _Tree] = {}
        found: list[Code] = []
        for word, (name, revision) in zip(words, parts, strict=True):
            if revision is None:
                found.append(Code(label=word, name=name, folder=here, path=path))
                continue
            commit = _git("rev-parse", "--verify", "--quiet", "--end-of-options",
                          f"{revision}^{{commit}}", failing=_unknown(revision))  # fmt: skip
            if commit not in trees:
                root = Path(stack.enter_context(TemporaryDirectory(prefix="hitherto-")))
                trees[commit] = _Tree(commit, root.resolve())
            found.append(trees[commit].code(word, name, revision, path))
        yield found


class _Tree:
    """The files of one revision."""

    def __init__(self, commit: str, root: Path) -> None:
        self._root = root / "tree"
        self._top = Path(_git("rev-parse", "--show-toplevel")).resolve()
        archive = root / "tree.tar"
        _git("-C", str(self._top), "archive", "--format=tar", "--output", str(archive), commit)
        with tarfile.open(archive) as files:
            files.extractall(self._root, filter=_inside)  # noqa: S202  # filtered
        archive.unlink()

    def code(self, label: str, name: str, revision: str, path: Sequence[str]) -> Code:
        """A version of the code that lies here, to be imported as it is from where we are."""
        mapped = [there for each in path if (there := self._mapped(each)) is not None]
        folder = self._mapped(path[0])
        return Code(
            label=label,
            name=name,
            folder=str(self._root) if folder is None else folder,
            path=mapped,
            root=str(self._root),
            top=str(self._top),
            revision=revision,
        )

    def _mapped(self, entry: str) -> str | None:
        """What an entry of the path was then; None if it was not, and today's code is no help."""
        place = Path(entry).resolve()
        if not place.is_relative_to(self._top):
            return entry
        there = self._root / place.relative_to(self._top)
        if there.exists():
            return str(there)
        is_tracked = _git("ls-files", "--", str(place))  # Installed packages are not, mostly.
        return None if is_tracked else entry


def _parts(word: str) -> tuple[str, str | None]:
    """The name, and the revision if there is one."""
    name, at, revision = word.partition("@")
    if "/" in name or name.count(":") > 1:  # It is not shown, for it may hold a password.
        raise ConfigurationError(f"what looks like a URL names no code: {_FORM}")
    module, colon, attribute = name.partition(":")
    if not module or (colon and not attribute) or (at and not revision):
        raise ConfigurationError(f"{word!r} names no code: {_FORM}")
    return name, revision if at else None


def _inside(member: tarfile.TarInfo, root: str) -> tarfile.TarInfo | None:
    """What may be unpacked; links that lead out of the repository are left out."""
    try:
        return tarfile.data_filter(member, root)
    except tarfile.FilterError:
        return None


def _unknown(revision: str) -> str:
    return f"there is no revision {revision!r} in the git repository of the current folder"


def _git(*words: str, failing: str | None = None) -> str:
    """What git prints."""
    try:
        ended = subprocess.run(  # noqa: S603  # no shell
            ["git", *words],  # noqa: S607  # whichever is on the path
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise ConfigurationError("a revision needs git, which is not installed") from None
    if ended.returncode:
        told = ended.stderr.strip() or failing or "git has failed"
        raise ConfigurationError(f"a revision cannot be laid out: {told}")
    return ended.stdout.strip()
