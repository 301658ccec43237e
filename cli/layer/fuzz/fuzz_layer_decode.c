/* Any bytes as a compressed layer: decoded or one error, the same in one piece and in two. At most
 * MADE_MAX bytes are let out, as layer.c bounds it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "cli/layer/layer_decode.h"

#define ROOM 4096
#define MADE_MAX (1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
    struct sha256_stream *sha;
    uint64_t made;
};

static bool take(struct layer_decode *d, struct span in, bool is_end, struct sum *sum) {
    uint8_t out[ROOM];
    size_t made = 0;
    do {
        struct result r = is_end ? layer_decode_end(d, out, ROOM, &made, NULL)
                                 : layer_decode_step(d, &in, out, ROOM, &made, NULL);
        if (!is_ok(r)) {
            return false;
        }
        CHECK(made <= ROOM);
        sha256_stream_update(sum->sha, span_of(out, made));
        sum->made += made;
    } while ((in.size > 0 || made == ROOM) && sum->made < MADE_MAX);
    return true;
}

static bool decode(const uint8_t *data, size_t size, size_t cut, uint8_t out[SHA256_SIZE]) {
    struct layer_decode *d = layer_decode_new();
    struct sum sum = {.sha = sha256_stream_new()};
    bool is_good = take(d, span_of(data, cut), false, &sum) &&
                   take(d, span_of(data + cut, size - cut), false, &sum) &&
                   take(d, (struct span){0}, true, &sum);
    sha256_stream_final(sum.sha, out);
    sha256_stream_free(sum.sha);
    layer_decode_free(d);
    return is_good && sum.made < MADE_MAX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t whole[SHA256_SIZE], parts[SHA256_SIZE];
    bool is_good = decode(data, size, size, whole);
    CHECK(decode(data, size, size / 3, parts) == is_good);
    CHECK(!is_good || span_equal(SPAN(whole), SPAN(parts)));
    return 0;
}
