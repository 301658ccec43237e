/* Bench protocol: what generator and replica say to each other, over one TLS connection.
 *
 *   generator ── REQUEST {payload}, request id ──>  replica
 *             <── REPLY, the same request id ──     the payload was applied
 *             <── REFUSED, the same request id ──   it was not submitted, or nobody knows
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_BENCH_PROTO_H
#define CONTRAST_BENCH_PROTO_H

#define BENCH_REQUEST 64
#define BENCH_REPLY 65
#define BENCH_REFUSED 66

#define BENCH_ADDRESS "127.0.0.1"
#define BENCH_OUTSTANDING_MAX 1024
#define BENCH_PAYLOAD_MAX (64 * 1024) /* bytes */
#define BENCH_MEMBERS_MAX 5
#define BENCH_HANDSHAKE_MS 10000

#endif
