"""The recipient of a recovery dies at the last contribution.

Origin: kill points of the recovery: open, contribute, begin the new epoch, answer
Elsewhere: a restore that was interrupted left half a state that passed for a whole one.
Here: nothing happens before the last contribution; afterwards everything is there, in a new epoch
    that was never signed before.
Notices: half a recovery that serves; an epoch that is used twice; a checkpoint that works only once

SPDX-License-Identifier: Apache-2.0
"""

import pytest

import scene


@pytest.mark.parametrize("point", [
    "before 1 port 1313 bytes 0",  # before it says anything
    "before 8 port 1313 bytes 0",  # while the file comes in, or the share
])
def test_the_next_try_finds_everything(killable, point):
    c = killable(1)
    c.set_next(1)
    scene.expect(0, c.verify(1))
    before = c.status(1)
    checkpoint = c.path("verify", "checkpoint")
    c.kill(1)
    c.start_all(1)
    c.arm(1, point)
    scene.expect(1, c.recover(1, "--checkpoint", checkpoint))
    c.dies(1)
    c.start_all(1)
    assert c.status(1)["generation"] == 0, "half a recovery serves nobody"
    scene.expect(0, c.recover(1, "--checkpoint", checkpoint))
    after = c.status(1)
    for field in ("cluster", "generation", "head"):
        assert after[field] == before[field]
    assert after["epoch"] > before["epoch"]
    scene.expect(0, c.verify(1))
    c.set_next(1)
