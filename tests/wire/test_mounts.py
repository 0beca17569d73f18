"""Loading apps from within the worker's loop."""

import asyncio

import pytest

from skitai.worker.mounts import outside_loop


async def one():
    return 1


def test_an_app_may_run_a_loop_of_its_own_while_it_is_imported():
    async def worker():
        loop = asyncio.get_running_loop()
        assert outside_loop(lambda: asyncio.run(one())) == 1
        assert asyncio.get_running_loop() is loop
        return await one()

    assert asyncio.run(worker()) == 1


def test_the_loop_is_back_when_the_import_fails():
    async def worker():
        with pytest.raises(ZeroDivisionError):
            outside_loop(lambda: 1 / 0)
        await asyncio.sleep(0)

    asyncio.run(worker())
