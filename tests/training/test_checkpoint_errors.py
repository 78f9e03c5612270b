import asyncio
import gc
from typing import Any

import pytest

from motion_vit.training.checkpoint_errors import without_repeated_errors


@pytest.mark.parametrize(("defined_in", "told"), [("/packages/orbax/serialization.py", False), ("/notebook.py", True)])
def test_of_failed_tasks_that_nobody_awaits_only_those_of_orbax_are_silent(
    defined_in: str, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    names: dict[str, Any] = {}
    exec(compile("async def write(): raise ValueError('the disk is full')", defined_in, "exec"), names)

    async def fail() -> None:
        asyncio.get_running_loop().create_task(names["write"]())
        await asyncio.sleep(0)

    with without_repeated_errors():
        asyncio.run(fail())
        gc.collect()

    assert ("never retrieved" in caplog.text) == told
