/* Protocol Buffers, reading: one field after the other of a message in memory.
 *
 *   tag (varint: number << 3 | type), then  0 varint   1 eight bytes   2 length and bytes   5 four
 *
 * Total and bounded by the span: what is no message is MALFORMED, groups (types 3 and 4, obsolete)
 * among it. Pure. Source: protobuf.dev, "Encoding".
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PROTO_READ_H
#define CONTRAST_PROTO_READ_H

#include "lib/base/bytes.h"

struct proto_field {
    uint32_t number;   /* 1 to 2^29 - 1 */
    bool is_bytes;     /* type 2 */
    uint64_t value;    /* types 0, 1 and 5 */
    struct span bytes; /* type 2: into the message */
};

/* Takes the next field off `rest`. *is_end when there is none. */
RESULT proto_read_next(struct span *rest, struct proto_field *out, bool *is_end, struct err *err);

#endif
