"""TLS: the options of libpq pass through the URL, and what they refuse is told."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.postgres_stores import opened
from tests.acceptance.postgres_writers import an_append
from tests.servers import PostgresCluster, _hand_over, debian_bin_dir, start_cluster

from hitherto import ConfigurationError, EventStoreUnavailable

pytestmark = pytest.mark.integration

_HBA = """
hostssl only_with_certificate all all cert
hostssl all all all trust
"""
_TLS = "SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@dataclass
class Secured:
    """A server that talks by TLS alone, and the folder of its certificates."""

    cluster: PostgresCluster
    folder: Path

    @property
    def port(self) -> int:
        """Its port."""
        return self.cluster.port

    def url(self, database: str = "postgres", *, hosts: str | None = None, **options: str) -> str:
        """How to reach it; options that end with .crt or .key are files of the folder."""
        hosts = hosts or f"127.0.0.1:{self.port}"
        query = "&".join(
            f"{name}={self.folder / value if value.endswith(('.crt', '.key')) else value}"
            for name, value in options.items()
        )
        return f"postgresql://postgres@{hosts}/{database}?{query}"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Debian's, for the wheel's server is made without TLS."""
    bin_dir = debian_bin_dir()
    if bin_dir is None or shutil.which("openssl") is None:
        pytest.skip("no PostgreSQL with TLS, or no openssl: apt install postgresql openssl")
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("right", "wrong"):
        _openssl(
            folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}",
        )  # fmt: skip
    _sign(folder, "server", "a server", "IP:127.0.0.1")
    _sign(folder, "client", "postgres", "DNS:client")
    cluster = start_cluster(bin_dir)
    for name in ("server.crt", "server.key", "right.crt"):
        shutil.copy(folder / name, cluster.data / name)
        (cluster.data / name).chmod(0o600)
    _hand_over(cluster.data)
    cluster.run("createdb", "-h", str(cluster.directory), "-p", str(cluster.port), "-U", "postgres",
                "only_with_certificate")  # fmt: skip
    with (cluster.data / "postgresql.conf").open("a") as file:
        file.write("ssl = on\nssl_ca_file = 'right.crt'\n")
    (cluster.data / "pg_hba.conf").write_text(_HBA)
    cluster.restart()
    yield Secured(cluster, folder)
    cluster.stop()


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def _sign(folder: Path, name: str, common_name: str, alternative: str) -> None:
    """A certificate and its key, signed by the right authority."""
    (folder / f"{name}.ext").write_text(f"subjectAltName={alternative}\n")
    _openssl(
        folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={common_name}",
    )  # fmt: skip
    _openssl(
        folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "right.crt", "-CAkey", "right.key",
        "-CAcreateserial", "-out", f"{name}.crt", "-extfile", f"{name}.ext",
    )  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sslmode": "require"},
        {"sslmode": "verify-ca", "sslrootcert": "right.crt"},
        {"sslmode": "verify-full", "sslrootcert": "right.crt"},
    ],
    ids=lambda options: options.get("sslmode", "default"),
)
async def test_every_connection_of_a_store_is_encrypted(
    secured: Secured, postgres_schema: str, options: dict[str, str]
) -> None:
    """The one that makes the tables, and those of the pool."""
    async with opened(secured.url(**options), postgres_schema) as store:
        await store.append([an_append("a")])
        async with store._connections.session() as one, store._connections.session() as other:
            for connection in (one, other):
                assert await connection.fetchrow(_TLS) == (True, None)


async def test_each_of_several_hosts_is_verified(secured: Secured, postgres_schema: str) -> None:
    """The certificate is of one of the two."""
    both = f"localhost:{secured.port},127.0.0.1:{secured.port}"
    url = secured.url(hosts=both, sslmode="verify-full", sslrootcert="right.crt")
    async with opened(url, postgres_schema) as store:
        await store.append([an_append("a")])
        assert store._connections._hosts[0].startswith("postgresql://postgres@127.0.0.1:")


@pytest.mark.parametrize(
    ("host", "options", "told"),
    [
        ("127.0.0.1", {"sslmode": "verify-full", "sslrootcert": "wrong.crt"}, "self-signed"),
        ("127.0.0.1", {"sslmode": "verify-ca", "sslrootcert": "wrong.crt"}, "self-signed"),
        ("127.0.0.1", {"sslmode": "require", "sslrootcert": "wrong.crt"}, "self-signed"),
        ("localhost", {"sslmode": "verify-full", "sslrootcert": "right.crt"}, "not valid for 'loc"),
    ],
)
async def test_a_certificate_that_is_not_to_be_trusted_is_refused(
    secured: Secured, host: str, options: dict[str, str], told: str
) -> None:
    """The error says why; trying again would not help."""
    where = f"{host}:{secured.port}"
    with pytest.raises(
        EventStoreUnavailable, match=f"{where}.*not to be trusted: .*{told}"
    ) as refused:
        async with opened(secured.url(hosts=where, **options)):
            pass
    assert not refused.value.transient


async def test_a_certificate_of_another_host_will_do_where_only_its_authority_counts(
    secured: Secured, postgres_schema: str
) -> None:
    """The names are looked at by verify-full alone."""
    where = f"localhost:{secured.port}"
    url = secured.url(hosts=where, sslmode="verify-ca", sslrootcert="right.crt")
    async with opened(url, postgres_schema):
        pass


async def test_a_server_that_wants_tls_refuses_a_store_without(secured: Secured) -> None:
    """And says so."""
    with pytest.raises(EventStoreUnavailable, match="no encryption"):
        async with opened(secured.url(sslmode="disable")):
            pass


async def test_a_store_that_wants_tls_refuses_a_server_without(
    postgres_url: str, admin: Any
) -> None:
    """Nothing is sent in plain text."""
    if await admin.fetchval("SHOW ssl") == "on":
        pytest.skip("TEST_DATABASE_URL is of a server with TLS")
    with pytest.raises(EventStoreUnavailable, match="rejected SSL upgrade"):
        async with opened(f"{postgres_url}?sslmode=require"):
            pass


async def test_a_client_can_show_a_certificate(secured: Secured, postgres_schema: str) -> None:
    """In the place of a password."""
    certificate = {"sslmode": "require", "sslcert": "client.crt", "sslkey": "client.key"}
    url = secured.url("only_with_certificate", **certificate)
    async with opened(url, postgres_schema) as store, store._connections.session() as connection:
        assert await connection.fetchrow(_TLS) == (True, "/CN=postgres")
    with pytest.raises(EventStoreUnavailable, match="requires a valid client certificate"):
        async with opened(secured.url("only_with_certificate", sslmode="require")):
            pass


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sslmode": "verify-full", "sslrootcert": "none.crt"}, "sslrootcert='.*none.crt'"),
        ({"sslmode": "verify-full", "sslrootcert": "server.key"}, "sslrootcert='.*server.key'"),
        ({"sslmode": "require", "sslcert": "none.crt"}, "sslcert='.*none.crt'.*No such file"),
        ({"sslmode": "require", "sslcert": "client.crt"}, "client.crt' with sslkey=None"),
        (
            {"sslmode": "require", "sslcert": "client.crt", "sslkey": "server.key"},
            "sslkey='.*server.key' cannot be used: .*mismatch",
        ),
        ({"sslmode": "nonsense"}, "`sslmode` parameter must be one of"),
        ({"sslmode": "require", "ssl_min_protocol_version": "TLSv9"}, "No such TLS version"),
    ],
)
async def test_an_option_that_cannot_be_is_named(
    secured: Secured, options: dict[str, str], told: str
) -> None:
    """Rather than the server."""
    with pytest.raises(ConfigurationError, match=f"the URL .* is wrong: .*{told}"):
        async with opened(secured.url(**options)):
            pass


async def test_a_file_that_the_environment_names_is_told_of_too(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PGSSLROOTCERT may."""
    monkeypatch.setenv("PGSSLROOTCERT", str(secured.folder / "none.crt"))
    with pytest.raises(ConfigurationError, match=r"sslrootcert='.*none.crt'.*No such file"):
        async with opened(secured.url(sslmode="verify-full")):
            pass


async def test_a_server_that_is_down_is_not_taken_for_a_wrong_file(secured: Secured) -> None:
    """The files are as they should be."""
    url = secured.url(hosts="127.0.0.1:1", sslmode="require", sslrootcert="right.crt")
    with pytest.raises(EventStoreUnavailable, match="Connect call failed"):
        async with opened(url):
            pass
