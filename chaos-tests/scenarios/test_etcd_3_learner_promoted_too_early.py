"""A newcomer votes before it has the log.

Origin: etcd issue 10537 (learners) and what was before: a member added as a voter with an empty log
Elsewhere: adding a member to a cluster of two, or promoting one that lags, left a quorum that
    cannot be reached until the newcomer has copied everything; a mistyped address lost the cluster.
Here: a join would stop certificates and manifests for as long as the snapshot travels, or for ever.
Notices: a standby that is promoted while it lags; one that never answers and is promoted at all

SPDX-License-Identifier: Apache-2.0
"""

import pytest
from raft import Refused


def test_one_that_never_answers_is_never_promoted(raft):
    r = raft(3)
    r.elect(1, among=(1, 2, 3))
    r.heal()
    r.run(300)
    silent = r.join()
    r.change_until_done(1, "add", silent)
    r.connect(1, 2, 3)  # the newcomer's address leads nowhere
    for _ in range(50):
        with pytest.raises(Refused):
            r.change(1, "promote", silent)
        r.run(100)
        r.submit(1)
    r.run(100)
    assert r.show(1)["commands"] == 50, "the three go on"
    assert r.show(1)["members"] == 4


def test_one_that_lags_is_promoted_when_it_has_everything(raft):
    r = raft(3)
    r.elect(1, among=(1, 2, 3))
    r.heal()
    r.run(300)
    newcomer = r.join()
    r.change_until_done(1, "add", newcomer)
    r.connect(1, 2, 3)
    for _ in range(200):
        r.submit(1)
        r.run(5)
    with pytest.raises(Refused):
        r.change(1, "promote", newcomer)
    r.heal()
    r.change_until_done(1, "promote", newcomer)
    lag = r.show(1)["last"] - 1 - r.show(newcomer)["last"]
    assert lag <= 1, f"promoted with {lag} entries missing"
    r.run(500)
    r.all_same()
