"""What a user of hitherto installs, as CycloneDX JSON: the same pins make the same text.

Versions are those of `constraints.txt`; who needs whom, and licences, are told by the packages
as they are installed here, for this Python. A package that only an extra needs is optional. What
only developers need is left out.
"""

import json
import sys
import tomllib
import uuid
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).parents[1]
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
_NAME: str = _PROJECT["name"]
_EXTRAS: Mapping[str, list[str]] = _PROJECT["optional-dependencies"]
_NAMESPACE = uuid.UUID("2f3f0a0e-3c0c-5a8e-9a57-0f2f3b0e7c11")


def main(pins: str) -> int:
    """Print it for a file of pins."""
    sys.stdout.write(json.dumps(bill(versions(Path(pins))), indent=2) + "\n")
    return 0


def versions(pins: Path) -> dict[str, str]:
    """The pinned packages' versions, by normalised name."""
    pairs = (line.split("==") for line in pins.read_text().split())
    return {canonicalize_name(name): version for name, version in pairs}


def bill(pinned: Mapping[str, str]) -> dict[str, Any]:
    """The whole document.

    Raises:
        LookupError: A package that users need is not pinned.
    """
    required, needed = _closure(), _closure(*_EXTRAS)
    own = _component(_NAME, _PROJECT["version"])
    names = sorted(needed.keys() - {_NAME})
    parts = [
        {
            **_component(name, pinned[name]),
            "scope": "required" if name in required else "optional",
            **_licences(name),
        }
        for name in names
    ]
    references = {_NAME: own["purl"], **{part["name"]: part["purl"] for part in parts}}
    edges = [
        {"ref": references[name], "dependsOn": sorted(references[each] for each in needed[name])}
        for name in (_NAME, *names)
    ]
    told = {"metadata": {"component": own}, "components": parts, "dependencies": edges}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps(told))}",
        "version": 1,
        **told,
    }


def _closure(*extras: str) -> dict[str, set[str]]:
    """All that comes with hitherto and its extras: each package, and what it needs."""
    found: dict[str, set[str]] = {}
    asked = [(_NAME, frozenset(extras))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while asked:
        name, chosen = asked.pop()
        if (name, chosen) in seen:
            continue
        seen.add((name, chosen))
        needs = list(_needs(name, chosen))
        found.setdefault(name, set()).update(need for need, _ in needs if need != name)
        asked += needs
    return found


def _needs(name: str, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for requirement in map(Requirement, _told_by(name, extras)):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)


def _told_by(name: str, extras: frozenset[str]) -> list[str]:
    if name == _NAME:  # what is installed may be older than the tree
        return [*_PROJECT["dependencies"], *(each for extra in extras for each in _EXTRAS[extra])]
    try:
        return distribution(name).requires or []
    except PackageNotFoundError as error:
        raise LookupError(f"{name} is not installed: make .venv/dev") from error


def _component(name: str, version: str) -> dict[str, str]:
    purl = f"pkg:pypi/{name}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _licences(name: str) -> dict[str, Any]:
    """What the package declares, where it does so as an SPDX expression."""
    told = distribution(name).metadata.get("License-Expression")
    return {"licenses": [{"expression": told}]} if told else {}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
