/* Machine keys: what the security processor of a simulated machine derives for a guest.
 *
 *   MSG_KEY_REQ[32], MSG_KEY_RSP[64]     AMD 56860; the bytes stand in attest/issuer_key.h
 *
 * HKDF-SHA-256 of the chip's secret over root key, VMPL, GUEST_FIELD_SELECT and exactly the fields
 * that it selects, the others as zeros. HOST_DATA and REPORT_ID never enter, as on hardware. How
 * AMD's firmware mixes is not published: these keys are as stable and as distinct, not the same.
 *
 * Total: whatever the request says gets a response. Refused as firmware does, by status, are what
 * does not exist, a VMRK (no guest here has a migration agent), a VLEK (none is loaded), and a
 * guest SVN or TCB component above the guest's or the machine's own.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_MACHINE_KEY_H
#define CONTRAST_MACHINE_KEY_H

#include "chaos-tests/simulator/machine.h"

#define MACHINE_KEY_REQUEST_SIZE 32
#define MACHINE_KEY_RESPONSE_SIZE 64
#define MACHINE_KEY_SIZE 32

enum machine_key_status {
    MACHINE_KEY_OK = 0,
    MACHINE_KEY_INVALID_PARAM = 0x16,
    MACHINE_KEY_INVALID_KEY = 0x27
};

/* The response holds a key: wipe it. All but the status is zero when it is refused. */
void machine_key_derive(const struct machine *m, const struct machine_guest *guest,
                        const uint8_t request[MACHINE_KEY_REQUEST_SIZE],
                        uint8_t response[MACHINE_KEY_RESPONSE_SIZE]);

#endif
