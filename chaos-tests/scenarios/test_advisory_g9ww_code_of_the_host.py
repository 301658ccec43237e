"""The host brings code into the guest that nobody measured.

Origin: GHSA-g9ww-x58f-9g6m, "BadAML" (Contrast, 2026-03)
Elsewhere: ACPI tables come from the host, and the guest's kernel runs the AML in them; the
    measurement is the same with and without. The cure is a kernel in the guest image.
Here: nothing of this project runs in the kernel. What an owner must be able to do on the day of
    such an advisory: name the mended image, have every pod of the old one refused, and be told
    which replicas still run it.
Notices: a set that goes through while members run the old image, or that does not name them; a pod
    of the old image that gets a certificate after the set

SPDX-License-Identifier: Apache-2.0
"""

import scene
from harness import wait_until

OLD_AND_NEW = ("11" * 48, "22" * 48)


def set_images(c, *measurements):
    def change(manifest):
        first = manifest["ReferenceValues"]["snp"][0]
        manifest["ReferenceValues"]["snp"] = [
            dict(first, TrustedMeasurement=m) for m in measurements]
    scene.change_manifest(c.app, change)


def test_from_the_old_image_to_the_mended_one(lonely):
    old, new = OLD_AND_NEW

    def in_the_old_image(c):
        set_images(c, old)
        c.measurement = old
    c = lonely(1, peers=2, prepare=in_the_old_image)
    scene.expect(0, c.verify(1))
    pod_of(c, 1, "old-before", old, 0)
    pod_of(c, 1, "new-before", new, 3)
    set_images(c, new)  # too early: everybody would be locked out
    scene.expect(3, c.set(1), "coordinator-1")
    set_images(c, old, new)
    scene.expect(0, c.set(1))
    c.measurement = new
    c.start_all(2)  # another replica, in the mended image
    wait_until(lambda: len(c.members(1, "leader", "voter", "standby")) == 2, 40, "it is a member")
    set_images(c, new)
    done = scene.expect(3, c.set(1), "coordinator-1")
    assert "coordinator-2" not in done.err, done
    pod_of(c, 2, "old-between", old, 0)
    assert c.replicas.pop(1).end() == 0  # hands over
    c.wait_rest(2, voters=1)
    scene.expect(0, c.set(2))
    pod_of(c, 2, "old-after", old, 3)
    pod_of(c, 2, "new-after", new, 0)
    assert {m["measurement"].hex() for m in c.status(2)["members"]} == {new}


def pod_of(c, number, name, measurement, code):
    """A pod in a guest of this image: whether it gets a certificate."""
    before, c.measurement = c.measurement, measurement
    done = c.initializer(name, c.path("web.yaml"), number)
    c.measurement = before
    scene.expect(code, done, *(["SNP-MEASUREMENT", measurement] if code else []))
