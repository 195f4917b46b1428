"""Asks the vulnerability service about the pinned packages; passes where it does not answer."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_OPTIONS = ["--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json", "--timeout=5"]
_SECONDS = 60
# What the last line of an error says where the network is to blame.
_UNREACHABLE = ("requests.exceptions.", "urllib3.exceptions.", ".ServiceError", "blocking this")


def main(pins: str) -> int:
    """Audit a file of pins; returns the exit status."""
    program = str(Path(sys.executable).with_name("pip-audit"))
    try:
        ended = subprocess.run(  # noqa: S603
            [program, *_OPTIONS, "-r", pins],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        status, told = 0, f"not audited: no answer in {_SECONDS} s"
    else:
        status, told = verdict(ended.stdout, ended.stderr)
    sys.stdout.write(f"audit: {told}\n")
    return status


def verdict(output: str, errors: str) -> tuple[int, str]:
    """The exit status, and what to tell, after what pip-audit has printed."""
    if not output.strip():
        last = errors.strip().rpartition("\n")[2]
        if any(sign in last for sign in _UNREACHABLE):
            return 0, "not audited: the vulnerability service cannot be reached"
        return 1, f"pip-audit failed:\n{errors}"
    packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
    found = [
        f"{package['name']} {package['version']}: {known['id']}, {_remedy(known['fix_versions'])}"
        for package in packages
        for known in package.get("vulns", ())
    ]
    if found:
        return 1, "\n".join(["known vulnerabilities:", *found])
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if len(skipped) == len(packages):
        return 0, "not audited: the vulnerability service knows none of the packages"
    beside = f"; not known to the service: {', '.join(skipped)}" if skipped else ""
    return 0, f"{len(packages) - len(skipped)} packages, no known vulnerability{beside}"


def _remedy(versions: list[str]) -> str:
    return f"fixed in {', '.join(versions)}" if versions else "not fixed"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
