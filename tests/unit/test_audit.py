"""`make audit`: it fails where a vulnerability is known, and where it cannot ask it says so."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci/audit.py"


@pytest.fixture(scope="module")
def audit() -> Any:
    """The script."""
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report(**packages: Any) -> str:
    """What pip-audit prints: of each package its vulnerabilities, or None where it was skipped."""
    return json.dumps({
        "dependencies": [
            {"name": name, "skip_reason": "not found"}
            if vulns is None
            else {"name": name, "version": "1.0", "vulns": vulns}
            for name, vulns in packages.items()
        ],
        "fixes": [],
    })  # fmt: skip


def test_packages_without_a_known_vulnerability_pass(audit: Any) -> None:
    """Those that the service does not know are named."""
    assert audit.verdict(report(one=[], two=[]), "No known\n") == (
        0, "2 packages, no known vulnerability",
    )  # fmt: skip
    assert audit.verdict(report(one=[], two=None), "") == (
        0, "1 packages, no known vulnerability; not known to the service: two",
    )  # fmt: skip


def test_a_known_vulnerability_fails(audit: Any) -> None:
    """With what mends it."""
    known = [{"id": "V-1", "fix_versions": ["1.1", "2.0"]}, {"id": "V-2", "fix_versions": []}]
    assert audit.verdict(report(one=[], two=known, three=None), "Found 2\n") == (
        1, "known vulnerabilities:\ntwo 1.0: V-1, fixed in 1.1, 2.0\ntwo 1.0: V-2, not fixed",
    )  # fmt: skip


@pytest.mark.parametrize(
    "errors",
    [
        "Traceback\nrequests.exceptions.ConnectionError: no such host\n",
        "Traceback\nrequests.exceptions.JSONDecodeError: Expecting value\n",
        "Traceback\npip_audit._service.interface.ServiceError\n",
        "ERROR:Could not connect\nTip: your network may be blocking this service. Try another\n",
    ],
)
def test_a_service_that_cannot_be_reached_is_no_failure(errors: str, audit: Any) -> None:
    """It is said in one line."""
    told = "not audited: the vulnerability service cannot be reached"
    assert audit.verdict("", errors) == (0, told)


def test_a_service_that_knows_nothing_is_no_failure(audit: Any) -> None:
    """Something else has answered in its place."""
    told = "not audited: the vulnerability service knows none of the packages"
    assert audit.verdict(report(one=None, two=None), "") == (0, told)


def test_any_other_failure_is_one(audit: Any) -> None:
    """Such as a pin that is none."""
    assert audit.verdict("", "ERROR: not pinned\n") == (1, "pip-audit failed:\nERROR: not pinned\n")


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ("raise SystemExit(1)", 1, "audit: pip-audit failed:\n\n"),
        ("import time; time.sleep(60)", 0, "audit: not audited: no answer in 1 s\n"),
        ("print('{\"dependencies\": [{\"name\": \"a\", \"version\": \"1\", \"vulns\": []}]}')", 0,
         "audit: 1 packages, no known vulnerability\n"),
    ],
    ids=["fails", "hangs", "answers"],
)  # fmt: skip
@pytest.mark.integration
def test_the_program_is_run_beside_the_interpreter(
    body: str,
    status: int,
    told: str,
    audit: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And given up after a while."""
    program = tmp_path / "pip-audit"
    program.write_text(f"#!{sys.executable}\n{body}\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(audit, "_SECONDS", 1 if "sleep" in body else 60)
    assert audit.main("constraints.txt") == status
    assert capsys.readouterr().out == told
