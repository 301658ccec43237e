"""An old manifest with a good signature comes back when everything restarts.

Origin: Contrast, history (transitions/latest is accepted by its signature alone)
Elsewhere: whoever controls the store puts an older "latest" back, restarts the Coordinator, and the
    deployment runs under a manifest that was superseded, for instance because of a leak.
Here: nothing is read back. What can come back is a checkpoint, and each share owner judges it by
    the newest manifest that its own workspace has seen; so does every client.
Notices: a share owner's machine that signs for less than it has seen; a client that forgets

SPDX-License-Identifier: Apache-2.0
"""

import scene


def test_who_saw_the_newer_one_refuses_the_older_one(lonely):
    c = lonely(1)
    c.next_manifest()
    scene.expect(0, c.set(1))
    early = c.copy("early")  # saw this, and no more
    scene.expect(0, early.verify(1))
    old = early.path("verify", "checkpoint")
    c.next_manifest()
    scene.expect(0, c.set(1))
    scene.expect(0, c.verify(1))
    c.kill(1)
    c.start_all(1)
    assert c.status(1)["generation"] == 0, "nothing comes back by itself"
    scene.expect(4, c.recover(1, "--checkpoint", old), "generation")
    assert c.status(1)["generation"] == 0
    # A share owner that never saw the newer one is the only way back to the old one
    scene.expect(0, early.recover(1, "--checkpoint", old))
    assert (c.status(1)["generation"], c.status(1)["epoch"]) == (2, 2)
    scene.expect(0, early.verify(1))
    scene.expect(4, c.verify(1))
    scene.expect((3, 4), c.set(1))
