/* Image references: see image_ref.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/image_ref.h"

#include <stdio.h>
#include <string.h>

#define DIGEST_PREFIX "sha256:"
#define HEX_ID_SIZE 64

static bool is_lower(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_word(uint8_t c) {
    return is_lower(c) || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_host_char(uint8_t c) {
    return is_lower(c) || (c >= 'A' && c <= 'Z') || c == '-';
}

/* The first (or last) `c`, or the size. */
static size_t find(struct span s, char c) {
    const uint8_t *at = s.size > 0 ? memchr(s.data, c, s.size) : NULL;
    return at != NULL ? (size_t)(at - s.data) : s.size;
}

static size_t find_last(struct span s, char c) {
    const uint8_t *at = s.size > 0 ? memrchr(s.data, c, s.size) : NULL;
    return at != NULL ? (size_t)(at - s.data) : s.size;
}

static struct span head(struct span s, size_t n) {
    return span_of(s.data, n);
}

static struct span tail(struct span s, size_t n) {
    return span_of(s.data + n, s.size - n);
}

static bool equals(struct span s, const char *text) {
    return span_equal(s, span_str(text));
}

/* ---- digests ---- */

struct result image_ref_digest(struct span text, uint8_t out[SHA256_SIZE], struct err *err) {
    const struct span prefix = span_str(DIGEST_PREFIX);
    bool good =
        text.size == prefix.size + HEX_ID_SIZE && span_equal(head(text, prefix.size), prefix);
    for (size_t i = prefix.size; good && i < text.size; i++) {
        good = is_lower(text.data[i]);
    }
    ENSURE(good && is_ok(hex_decode(tail(text, prefix.size), out, SHA256_SIZE, NULL)), err, INVALID,
           "the digest is not sha256: and 64 lower-case hexadecimal digits");
    return OK;
}

const char *image_ref_digest_text(const uint8_t digest[SHA256_SIZE],
                                  char out[IMAGE_REF_DIGEST_TEXT]) {
    memcpy(out, DIGEST_PREFIX, sizeof DIGEST_PREFIX - 1);
    hex_encode(span_of(digest, SHA256_SIZE), out + sizeof DIGEST_PREFIX - 1);
    return out;
}

/* ---- hosts ---- */

/* A first component is a host when no path component could be spelled so. */
static bool looks_like_host(struct span s) {
    if (equals(s, "localhost") || find(s, '.') < s.size || find(s, ':') < s.size) {
        return true;
    }
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] >= 'A' && s.data[i] <= 'Z') {
            return true;
        }
    }
    return s.size > 0 && s.data[0] == '[';
}

static bool is_port(struct span s) {
    unsigned port = 0;
    for (size_t i = 0; i < s.size && i < 6; i++) {
        if (s.data[i] < '0' || s.data[i] > '9') {
            return false;
        }
        port = port * 10 + (unsigned)(s.data[i] - '0');
    }
    return s.size >= 1 && s.size <= 5 && port >= 1 && port <= 65535;
}

static bool is_host_name(struct span s) {
    bool start = true; /* of a label */
    for (size_t i = 0; i < s.size; i++) {
        uint8_t c = s.data[i];
        bool last = i + 1 == s.size || s.data[i + 1] == '.';
        if (c == '.' ? start : !is_host_char(c) || (c == '-' && (start || last))) {
            return false;
        }
        start = c == '.';
    }
    return s.size > 0 && !start;
}

/* RFC 3986 section 3.2.2; whether the groups make an address is the resolver's matter. */
static bool is_ipv6(struct span s) {
    size_t colons = 0;
    for (size_t i = 1; i + 1 < s.size; i++) {
        uint8_t c = s.data[i];
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (!hex && c != ':') {
            return false;
        }
        colons += c == ':' ? 1 : 0;
    }
    return s.size > 3 && s.data[s.size - 1] == ']' && colons >= 2;
}

static bool is_host(struct span s) {
    bool is_v6 = s.size > 0 && s.data[0] == '[';
    size_t end = is_v6 ? find(s, ']') + 1 : find(s, ':');
    if (end > s.size || (end < s.size && s.data[end] != ':')) {
        return false;
    }
    struct span name = head(s, end);
    return (is_v6 ? is_ipv6(name) : is_host_name(name)) &&
           (end == s.size || is_port(tail(s, end + 1)));
}

static bool is_docker_hub(struct span host) {
    return equals(host, IMAGE_REF_HOST) || equals(host, "index.docker.io") ||
           equals(host, "registry-1.docker.io");
}

/* ---- paths and tags ---- */

/* [a-z0-9]+ ((. | _ | __ | -+) [a-z0-9]+)* */
static bool is_component(struct span s) {
    size_t run = 0; /* separators since the last letter */
    for (size_t i = 0; i < s.size; i++) {
        uint8_t c = s.data[i];
        if (is_lower(c)) {
            run = 0;
            continue;
        }
        bool first = run == 0;
        bool same = !first && s.data[i - 1] == c;
        run++;
        bool allowed = c == '-'   ? first || same
                       : c == '_' ? first || (same && run == 2)
                                  : c == '.' && first;
        if (!allowed || i == 0) {
            return false;
        }
    }
    return s.size > 0 && run == 0;
}

static bool is_path(struct span s) {
    for (;;) {
        size_t n = find(s, '/');
        if (!is_component(head(s, n))) {
            return false;
        }
        if (n == s.size) {
            return true;
        }
        s = tail(s, n + 1);
    }
}

static bool is_tag(struct span s) {
    for (size_t i = 0; i < s.size; i++) {
        if (!is_word(s.data[i]) && (i == 0 || (s.data[i] != '.' && s.data[i] != '-'))) {
            return false;
        }
    }
    return s.size >= 1 && s.size <= IMAGE_REF_TAG_MAX;
}

static bool is_hex_id(struct span s) {
    for (size_t i = 0; i < s.size; i++) {
        if (!(s.data[i] >= '0' && s.data[i] <= '9') && !(s.data[i] >= 'a' && s.data[i] <= 'f')) {
            return false;
        }
    }
    return s.size == HEX_ID_SIZE;
}

/* ---- the whole ---- */

static void copy(struct span s, char *out) {
    memcpy(out, s.data, s.size);
    out[s.size] = '\0';
}

/* The tag is behind the last colon, unless that belongs to a port. */
static size_t tag_at(struct span s) {
    size_t colon = find_last(s, ':');
    return colon < s.size && find(tail(s, colon), '/') < s.size - colon ? s.size : colon;
}

static void split_host(struct span s, struct span *host, struct span *path) {
    size_t slash = find(s, '/');
    bool named = slash < s.size && looks_like_host(head(s, slash));
    *host = named ? head(s, slash) : span_str(IMAGE_REF_HOST);
    *path = named ? tail(s, slash + 1) : s;
}

static RESULT parse_name(struct span s, struct image_ref *out, struct err *err) {
    struct span host;
    struct span path;
    split_host(s, &host, &path);
    ENSURE(is_host(host), err, INVALID,
           "the registry '%.*s' is not a host name with an optional "
           "port",
           (int)(host.size < 80 ? host.size : 80), (const char *)host.data);
    ENSURE(is_path(path), err, INVALID,
           "the repository has to be lower-case letters, digits and separators (. _ __ -) between "
           "them, in components parted by '/'");
    bool hub = is_docker_hub(host);
    bool library = hub && find(path, '/') == path.size;
    ENSURE(!library || !is_hex_id(path), err, INVALID,
           "64 hexadecimal digits are the id of an image, which no registry serves; use a name");
    host = hub ? span_str(IMAGE_REF_HOST) : host;
    ENSURE(host.size + path.size + (library ? 9 : 1) <= IMAGE_REF_NAME_MAX, err, INVALID,
           "registry and repository have more than %d bytes", IMAGE_REF_NAME_MAX);
    copy(host, out->host);
    snprintf(out->name, sizeof out->name, "%s%.*s", library ? "library/" : "", (int)path.size,
             (const char *)path.data);
    return OK;
}

static RESULT parse(struct span text, struct image_ref *out, struct err *err) {
    ENSURE(text.size > 0, err, INVALID, "it is empty");
    size_t at = find(text, '@');
    struct span rest = head(text, at);
    out->has_digest = at < text.size;
    if (out->has_digest) {
        TRY(image_ref_digest(tail(text, at + 1), out->digest, err));
    }
    size_t colon = tag_at(rest);
    struct span tag =
        colon < rest.size ? tail(rest, colon + 1) : span_str(out->has_digest ? "" : "latest");
    ENSURE(is_tag(tag) || (colon == rest.size && tag.size == 0), err, INVALID,
           "a tag has 1 to %d letters, digits, '_', '.' and '-', and begins with none of the last "
           "two",
           IMAGE_REF_TAG_MAX);
    copy(tag, out->tag);
    return parse_name(head(rest, colon), out, err);
}

struct result image_ref_parse(struct span text, struct image_ref *out, struct err *err) {
    struct image_ref ref = {0};
    struct result r = parse(text, &ref, err);
    if (!is_ok(r)) {
        return err_wrap(r, err, "image '%.*s'", (int)(text.size < 200 ? text.size : 200),
                        text.size > 0 ? (const char *)text.data : "");
    }
    *out = ref;
    return OK;
}

void image_ref_text(const struct image_ref *ref, struct buf *out) {
    char digest[IMAGE_REF_DIGEST_TEXT];
    buf_appendf(out, "%s/%s", ref->host, ref->name);
    if (ref->tag[0] != '\0') {
        buf_appendf(out, ":%s", ref->tag);
    }
    if (ref->has_digest) {
        buf_appendf(out, "@%s", image_ref_digest_text(ref->digest, digest));
    }
}

void image_ref_pin(struct span text, const uint8_t digest[SHA256_SIZE], struct buf *out) {
    char hex[IMAGE_REF_DIGEST_TEXT];
    buf_append_span(out, head(text, find(text, '@')));
    buf_appendf(out, "@%s", image_ref_digest_text(digest, hex));
}
