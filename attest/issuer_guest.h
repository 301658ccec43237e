/* Guest: the system calls of /dev/sev-guest as an interface, so that a test can be the kernel, and
 * the host behind it.
 *
 * The structures are the kernel's (Documentation/virt/coco/sev-guest.rst, linux/sev-guest.h); they
 * stand here because headers before 6.4 lack exitinfo2. All integers have the machine's order.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ISSUER_GUEST_H
#define CONTRAST_ISSUER_GUEST_H

#include "attest/issuer.h"

#define ISSUER_GUEST_GET_REPORT 0xC0205300UL
#define ISSUER_GUEST_GET_DERIVED_KEY 0xC0205301UL
#define ISSUER_GUEST_GET_EXT_REPORT 0xC0205302UL
#define ISSUER_GUEST_MESSAGE_VERSION 1

#define ISSUER_GUEST_VMM_INVALID_LEN 1 /* the table is larger than the room for it */
#define ISSUER_GUEST_VMM_BUSY 2        /* the host throttles */

struct issuer_guest_ioctl {
    uint8_t message_version;
    uint8_t padding[7];
    uint64_t request;  /* address */
    uint64_t response; /* address of a struct issuer_guest_response, or of a MSG_KEY_RSP */
    uint32_t firmware_error;
    uint32_t vmm_error;
};

struct issuer_guest_request {
    uint8_t user_data[ISSUER_DATA_SIZE];
    uint32_t vmpl;
    uint8_t reserved[28];
};

struct issuer_guest_ext_request {
    struct issuer_guest_request report;
    uint64_t table; /* address, page aligned */
    uint32_t table_size;
    uint32_t padding;
};

#define ISSUER_GUEST_RESPONSE_SIZE 4000
#define ISSUER_GUEST_RESPONSE_REPORT 0x20 /* where the report begins: AMD 56860, MSG_REPORT_RSP */

struct issuer_guest_response {
    uint32_t status;      /* AMD 56860 table 24: 0 = made */
    uint32_t report_size; /* bytes */
    uint8_t reserved[24];
    uint8_t report[ISSUER_GUEST_RESPONSE_SIZE - ISSUER_GUEST_RESPONSE_REPORT];
};

_Static_assert(sizeof(struct issuer_guest_ioctl) == 32, "snp_guest_request_ioctl");
_Static_assert(sizeof(struct issuer_guest_request) == 96, "snp_report_req");
_Static_assert(sizeof(struct issuer_guest_ext_request) == 112, "snp_ext_report_req");
_Static_assert(sizeof(struct issuer_guest_response) == ISSUER_GUEST_RESPONSE_SIZE,
               "snp_report_resp");

/* Each answers as its system call: -1 and errno on failure. */
struct issuer_guest_calls {
    void *data;
    int (*open)(void *data, const char *path);
    int (*ioctl)(void *data, int fd, unsigned long code, struct issuer_guest_ioctl *request);
    void (*close)(void *data, int fd);
};

extern const struct issuer_guest_calls issuer_guest_system; /* the kernel's own */

/* Opens the device; *state belongs to the driver issuer_guest. `calls` is borrowed until its close.
 * CONFIG: the path is not absolute. UNAVAILABLE: it cannot be opened. */
RESULT issuer_guest_open(const struct issuer_guest_calls *calls, const char *path, void **state,
                         struct err *err);

#endif
