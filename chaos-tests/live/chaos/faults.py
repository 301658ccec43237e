"""The catalog of faults: what is done to a deployment, and how it is ended.

    env = Env(lab, cluster, history)
    for fault in CATALOG:
        why = fault.missing(env)         a reason why it cannot be done here, or None
        heal = fault.inject(env, rng)    does it; the history gets a line
        heal()                           ends it, and gives the history the other line

A fault is a generator: it gives the names of its targets, then does its work, then is asked to end
it. What it draws it draws from `rng`, so a seed says all. Unable is raised when it cannot be done
now (no leader to be paused), Wrong when it sees the programs do what they must not. heal() may be called twice, takes a minute at most, and leaves nothing
behind that lab.heal() does not know.

    must_serve   a quorum of replicas reaches each other and the owners all the time
    kills        how many replicas lose their memory: none, one, minority, majority, all
    ends_epoch   afterwards share owners must recover the deployment: cluster.recover()

SPDX-License-Identifier: Apache-2.0
"""

import faults_process  # noqa: F401  the order of the catalog
import faults_network  # noqa: F401
import faults_host  # noqa: F401
import faults_member  # noqa: F401
from faultbase import CATALOG, Env, Fault, Unable, Wrong, by_name  # noqa: F401
