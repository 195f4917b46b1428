"""Pages that are followed as a reader follows them: what they show is what is seen."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from tests.acceptance.docs_blocks import name_of
from tests.acceptance.docs_shell import AFTER_DEMO, TUTORIAL, Reader
from tests.servers import PostgresCluster, start_cluster

pytestmark = pytest.mark.integration


@pytest.fixture
def cluster() -> Iterator[PostgresCluster]:
    """A server of its own, for roles belong to the whole of it; a durable one is healthy."""
    cluster = start_cluster(durable=True)
    yield cluster
    cluster.stop()


def test_who_follows_the_tutorial_sees_what_it_shows(
    tmp_path: Path, cluster: PostgresCluster
) -> None:
    """In place of the containers, what the compose file has them do is done by hand."""

    def compose(reader: Reader) -> None:
        services = yaml.safe_load((tmp_path / "compose.yaml").read_text())["services"]
        for mounted in services["database"]["volumes"][1:]:
            file = mounted.partition(":")[0]
            reader.run(f"psql -q -v ON_ERROR_STOP=1 -f {file} {cluster.url()}")
        named = urlsplit(services["service"]["environment"]["DATABASE_URL"])
        server = named._replace(
            netloc=named.netloc.replace("@database", f"@127.0.0.1:{cluster.port}")
        )
        reader.environment["DATABASE_URL"] = server.geturl()
        reader.serve("uvicorn --log-level warning service:app")

    if shutil.which("curl") is None:
        pytest.skip("the tutorial asks its service by curl: apt install curl")
    reader = Reader(tmp_path, stand_ins={"docker compose up": compose})
    reader.environment["PATH"] += f":{cluster.bin_dir}"
    try:
        for page in TUTORIAL:
            reader.follow(page)
    finally:
        reader.end()


@pytest.mark.parametrize("page", AFTER_DEMO, ids=name_of)
def test_who_has_run_the_demo_sees_what_a_page_shows(page: Path, tmp_path: Path) -> None:
    """With the store that the demo leaves."""
    reader = Reader(tmp_path)
    reader.run("hitherto demo")
    reader.follow(page)
