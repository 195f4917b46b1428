"""`hitherto adopt` with writers on both sides, and processes that are killed."""

import asyncio
import re
from pathlib import Path

import pytest
from tests.acceptance.adopting import KINDS, PostgresWorld, World, insert, made, opened, users_of
from tests.acceptance.adopting_writers import Writers, many, process, told_by

from hitherto import connect
from hitherto.application.adopting import compare

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SECONDS = 2.0
ROWS = 1500


@pytest.fixture(params=KINDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return await made(request.param, lambda: request.getfixturevalue("postgres_url"), tmp_path)


async def adopted_under_load(world: World, rows: int, seconds: float) -> str:
    """Install, adopt, write on both sides, kill; what the comparison prints in the end."""
    await many(world, rows)
    async with connect(world.store_url, schema=world.schema) as store:
        assert (await told_by(world, "--capture", "install"))[0] == 0
        writers = Writers(world, store, rows)
        writing = asyncio.create_task(writers.write(seconds))
        workers = [await process(world, "--capture", "run") for _ in range(2)]
        adopting = await process(world)
        await asyncio.sleep(seconds / 3)
        workers[0].kill()
        await workers[0].communicate()
        workers[0] = await process(world, "--capture", "run")
        status, out = await told_by(world)
        assert status == 0, out
        await adopting.communicate()
        await writing
        assert min(writers.by_programs, writers.by_code) > 10
        status, out = await told_by(world, "--capture", "run", "--until-caught-up")
        assert status == 0, out
        for worker in workers:
            worker.terminate()
            await worker.communicate()
            assert worker.returncode == 0
        status, out = await told_by(world, "--capture", "run", "--until-caught-up")
        assert status == 0, out
        print(f"{writers.by_programs} transactions of programs, {writers.by_code} commands")
    return (await told_by(world, "--compare"))[1]


async def test_both_sides_are_the_same_when_all_writers_have_stopped(world: World) -> None:
    """Though one of those who keep them in step is killed; what is changed by stealth is found."""
    out = await adopted_under_load(world, ROWS, SECONDS)
    assert "is what its aggregates say" in out, out
    await change_by_stealth(world)
    status, out = await told_by(world, "--compare")
    assert status == 1
    assert "Rows that differ: 1" in out
    assert re.search(r"\n  7777777: name is 'stealth' in the row, 'Sam' in user-7777777\n", out)


async def change_by_stealth(world: World) -> None:
    """With the trigger out of the way."""
    await insert(world, {7777777: "Sam"})
    assert (await told_by(world, "--capture", "run", "--until-caught-up"))[0] == 0
    change = f"UPDATE {world.table_name} SET name = 'stealth' WHERE id = 7777777"
    if isinstance(world, PostgresWorld):
        off = f'ALTER TABLE {world.table_name} DISABLE TRIGGER "0_hitherto_capture"'
        await world.execute(off, change, off.replace("DISABLE", "ENABLE"))
    else:
        ((trigger,),) = await world.fetch(
            "SELECT sql FROM sqlite_schema WHERE name = 'hitherto_capture_users_update'"
        )
        await world.execute("DROP TRIGGER hitherto_capture_users_update", change, trigger)


async def test_an_adoption_that_was_killed_goes_on(world: World) -> None:
    """Each row is there once in the end."""
    rows = 6000
    await many(world, rows)
    async with connect(world.store_url, schema=world.schema) as store:
        adopting = await process(world)
        while await store.watermark() == 0:
            await asyncio.sleep(0.005)
        adopting.kill()
        await adopting.communicate()
        before = await store.watermark()
        assert 0 < before < rows
        status, out = await told_by(world)
        assert status == 0
        skipped = int(re.findall(r"Taken over before: ([\d,]+)", out)[0].replace(",", ""))
        assert skipped >= 500
        assert len(await users_of(store).history("user-1")) == 1
    async with opened(world) as mapped:
        compared = await compare(mapped)
        assert compared.equal
        assert compared.rows == compared.aggregates == rows
