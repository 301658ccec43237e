/* Mesh spec: see the header for the grammar.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/mesh_spec.h"

#include <string.h>

#include "lib/base/limits.h"

#define LOCAL_NET 127 /* first byte of 127.0.0.0/8, RFC 5735 section 3 */

struct endpoint {
    struct span host;
    uint16_t port;
};

struct entry {
    struct span name;
    struct endpoint listen; /* ingress: the port alone */
};

/* Those that were read already; two of them must not say the same. */
struct entries {
    struct entry items[LIMIT_MESH_ENTRIES];
    size_t count;
};

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* --- Pieces */

static bool consists_of(struct span text, const char *letters) {
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '\0' || strchr(letters, text.data[i]) == NULL) {
            return false;
        }
    }
    return text.size > 0;
}

/* Cuts `text` at the first separator: the part before; without one, all. */
static struct span take(struct span *text, const char *separator, bool *is_found) {
    size_t size = strlen(separator);
    for (size_t i = 0; i + size <= text->size; i++) {
        if (memcmp(text->data + i, separator, size) == 0) {
            struct span part = span_of(text->data, i);
            *text = span_of(text->data + i + size, text->size - i - size);
            *is_found = true;
            return part;
        }
    }
    struct span all = *text;
    *text = span_of(all.data + all.size, 0);
    *is_found = false;
    return all;
}

/* 1 to 65535 without sign or leading zero. */
static bool read_port(struct span text, uint16_t *out) {
    unsigned n = 0;
    if (text.size > 5 || !consists_of(text, DIGITS) || text.data[0] == '0') {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        n = 10 * n + (unsigned)(text.data[i] - '0');
    }
    *out = (uint16_t)n;
    return n <= UINT16_MAX;
}

/* Four decimal bytes; the first goes to `first`. */
static bool is_ipv4(struct span text, unsigned *first) {
    for (size_t i = 0; i < 4; i++) {
        bool is_found = false;
        struct span part = take(&text, ".", &is_found);
        unsigned n = 0;
        bool has_zero = part.size > 1 && part.data[0] == '0';
        if (part.size > 3 || !consists_of(part, DIGITS) || has_zero || is_found != (i < 3)) {
            return false;
        }
        for (size_t k = 0; k < part.size; k++) {
            n = 10 * n + (unsigned)(part.data[k] - '0');
        }
        if (n > UINT8_MAX) {
            return false;
        }
        *first = i == 0 ? n : *first;
    }
    return true;
}

/* A DNS name or an IPv4 address (RFC 1123 section 2.1): labels of letters, digits and hyphens. */
static bool is_host(struct span text) {
    unsigned first = 0;
    if (text.size > LIMIT_SAN) {
        return false;
    }
    if (consists_of(text, DIGITS ".")) {
        return is_ipv4(text, &first);
    }
    bool is_found = true;
    while (is_found) {
        struct span label = take(&text, ".", &is_found);
        if (!consists_of(label, LETTERS DIGITS "-") || label.size > 63 || label.data[0] == '-' ||
            label.data[label.size - 1] == '-') {
            return false;
        }
    }
    return true;
}

static bool read_endpoint(struct span text, struct endpoint *out) {
    bool is_found = false;
    out->host = take(&text, ":", &is_found);
    return is_found && read_port(text, &out->port);
}

static bool is_own(uint16_t port) {
    return port == MESH_SPEC_PORT || port == MESH_SPEC_PORT_NO_CLIENT;
}

/* --- Entries */

static RESULT check_name(const struct entries *before, struct span name, struct err *err) {
    ENSURE(consists_of(name, LETTERS DIGITS "-_.") && name.size <= LIMIT_MESH_NAME, err, INVALID,
           "the name must have 1 to %d letters, digits, \"-\", \"_\" or \".\"", LIMIT_MESH_NAME);
    for (size_t i = 0; i < before->count; i++) {
        ENSURE(!span_equal(before->items[i].name, name), err, INVALID,
               "entry %zu has this name already", i + 1);
    }
    return OK;
}

static RESULT check_listen(const struct entries *before, const struct endpoint *listen,
                           struct err *err) {
    ENSURE(!is_own(listen->port), err, INVALID, "port %d is the proxy's own", listen->port);
    for (size_t i = 0; i < before->count; i++) {
        const struct endpoint *other = &before->items[i].listen;
        ENSURE(other->port != listen->port || !span_equal(other->host, listen->host), err, INVALID,
               "entry %zu has this port already", i + 1);
    }
    return OK;
}

static RESULT read_ingress(struct span text, struct entries *all, struct entry *out,
                           struct err *err) {
    bool has_port = false;
    bool has_flag = false;
    out->name = take(&text, "#", &has_port);
    struct span port = take(&text, "#", &has_flag);
    ENSURE(has_port && has_flag, err, INVALID, "want name#port#true or name#port#false");
    TRY(check_name(all, out->name, err));
    ENSURE(read_port(port, &out->listen.port), err, INVALID,
           "the port must be a number from 1 to 65535");
    ENSURE(span_equal(text, span_str("true")) || span_equal(text, span_str("false")), err, INVALID,
           "want \"true\" (no TLS here) or \"false\" (TLS without client certificate) behind the "
           "port");
    return check_listen(all, &out->listen, err);
}

static RESULT read_egress(struct span text, struct entries *all, struct entry *out,
                          struct err *err) {
    bool has_listen = false;
    bool has_remote = false;
    unsigned net = 0;
    struct endpoint remote = {0};
    out->name = take(&text, "#", &has_listen);
    struct span listen = take(&text, "#", &has_remote);
    ENSURE(has_listen && has_remote, err, INVALID, "want name#127.x.x.x:port#host:port");
    TRY(check_name(all, out->name, err));
    ENSURE(read_endpoint(listen, &out->listen) && is_ipv4(out->listen.host, &net) &&
               net == LOCAL_NET,
           err, INVALID,
           "the listener must be an address in 127.0.0.0/8, a colon and a port from 1 to 65535");
    TRY(check_listen(all, &out->listen, err));
    ENSURE(read_endpoint(text, &remote) && is_host(remote.host), err, INVALID,
           "the remote end must be a DNS name or an IPv4 address, a colon and a port from 1 to "
           "65535");
    return OK;
}

typedef RESULT read_fn(struct span text, struct entries *all, struct entry *out, struct err *err);

static RESULT read_all(const char *text, read_fn *read, struct entries *all, struct err *err) {
    struct span rest = span_str(text);
    for (bool is_found = true; is_found;) {
        struct span part = take(&rest, "##", &is_found);
        ENSURE(all->count < LIMIT_MESH_ENTRIES, err, INVALID, "more than %d entries",
               LIMIT_MESH_ENTRIES);
        struct err cause = {0};
        struct result r = read(part, all, &all->items[all->count], &cause);
        if (!is_ok(r)) {
            return err_set(err, r.code, "entry %zu \"%.*s\": %.400s", all->count + 1,
                           (int)(part.size < 200 ? part.size : 200), (const char *)part.data,
                           cause.text);
        }
        all->count++;
    }
    return OK;
}

RESULT mesh_spec_check_ingress(const char *text, struct err *err) {
    struct entries all = {.count = 0};
    return text[0] == '\0' ? OK : read_all(text, read_ingress, &all, err);
}

RESULT mesh_spec_check_egress(const char *text, struct err *err) {
    struct entries all = {.count = 0};
    ENSURE(text[0] != '\0', err, INVALID,
           "is empty: name the connections, name#127.x.x.x:port#host:port, or remove it");
    return read_all(text, read_egress, &all, err);
}

RESULT mesh_spec_check_admin(const char *text, const char *egress, uint16_t *out, struct err *err) {
    struct entries all = {.count = 0};
    uint16_t port = 0;
    ENSURE(read_port(span_str(text), &port), err, INVALID, "want a port from 1 to 65535");
    ENSURE(!is_own(port), err, INVALID, "port %d is the proxy's own", port);
    if (egress != NULL) {
        TRY(read_all(egress, read_egress, &all, err));
    }
    for (size_t i = 0; i < all.count; i++) {
        ENSURE(all.items[i].listen.port != port, err, INVALID,
               "entry %zu of servicemesh-egress listens on port %d already", i + 1, port);
    }
    *out = port;
    return OK;
}
