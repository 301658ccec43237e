/* Sessions with registries: see registry_session.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/registry_session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "attest/endorse/retry_after.h"
#include "cli/registry/oci_json.h"
#include "cli/registry/oci_manifest.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define HUB_API "registry-1.docker.io"
#define PROGRESS_BYTES 65536 /* that an attempt must bring to count as one that helped */

struct mirror {
    char *host;   /* of the references; owned as all of it */
    char *scheme; /* "http" or "https" */
    char *server; /* host and port that is asked */
    char *prefix; /* "" or "path/" */
};

struct registry_session {
    struct registry_http *http;
    struct registry_login *login; /* borrowed */
    const struct host *host;
    char **insecure; /* owned, each too */
    size_t insecure_count;
    struct mirror *mirrors; /* owned */
    size_t mirror_count;
    void *data;
    void (*wait)(void *data, uint64_t ms);
    bool (*is_over)(void *data);
};

/* ---- life ---- */

static bool is_never_over(void *data) {
    (void)data;
    return false;
}

/* "https://host[:port][/path]" */
static RESULT read_mirror(const struct registry_mirror *from, struct mirror *out, struct err *err) {
    const char *rest = strstr(from->url, "://");
    size_t scheme = rest != NULL ? (size_t)(rest - from->url) : 0;
    bool good = (scheme == 4 && strncmp(from->url, "http", 4) == 0) ||
                (scheme == 5 && strncmp(from->url, "https", 5) == 0);
    rest = good ? rest + 3 : from->url;
    size_t server = strcspn(rest, "/");
    size_t path = strlen(rest) - server;
    while (path > 0 && rest[server + path - 1] == '/') {
        path--;
    }
    good = good && server > 0 && strpbrk(rest, "?#@ ") == NULL;
    ENSURE(good, err, CONFIG,
           "registry mirror of %s: '%s' is not http:// or https://, a host and perhaps a path",
           from->host, from->url);
    char text[LIMIT_PATH + 1];
    snprintf(text, sizeof text, "%.*s%s", path > 0 ? (int)path - 1 : 0,
             path > 0 ? rest + server + 1 : "", path > 0 ? "/" : "");
    bool is_hub =
        strcasecmp(from->host, "index.docker.io") == 0 || strcasecmp(from->host, HUB_API) == 0;
    *out = (struct mirror){.host = mem_strdup(is_hub ? IMAGE_REF_HOST : from->host),
                           .scheme = mem_strndup(from->url, scheme),
                           .server = mem_strndup(rest, server),
                           .prefix = mem_strdup(text)};
    return OK;
}

static RESULT fill(const struct registry_session_config *config, struct registry_session *s,
                   struct err *err) {
    s->insecure = mem_calloc(config->insecure_count + 1, sizeof *s->insecure);
    s->mirrors = mem_calloc(config->mirror_count + 1, sizeof *s->mirrors);
    for (; s->insecure_count < config->insecure_count; s->insecure_count++) {
        s->insecure[s->insecure_count] = mem_strdup(config->insecure[s->insecure_count]);
    }
    for (; s->mirror_count < config->mirror_count; s->mirror_count++) {
        TRY(read_mirror(&config->mirrors[s->mirror_count], &s->mirrors[s->mirror_count], err));
    }
    return registry_http_open(&config->http, &s->http, err);
}

struct result registry_session_open(const struct registry_session_config *config,
                                    struct registry_session **out, struct err *err) {
    struct registry_session *s = mem_zalloc(sizeof *s);
    s->host = config->host != NULL ? config->host : &host_system;
    s->login = config->login;
    s->data = config->data;
    s->wait = config->wait;
    s->is_over = config->is_over != NULL ? config->is_over : is_never_over;
    struct result r = fill(config, s, err);
    if (!is_ok(r)) {
        registry_session_close(s);
        return r;
    }
    *out = s;
    return OK;
}

static void free_lists(struct registry_session *s) {
    for (size_t i = 0; i < s->insecure_count; i++) {
        mem_free(s->insecure[i]);
    }
    for (size_t i = 0; i < s->mirror_count; i++) {
        mem_free(s->mirrors[i].host);
        mem_free(s->mirrors[i].scheme);
        mem_free(s->mirrors[i].server);
        mem_free(s->mirrors[i].prefix);
    }
    mem_free(s->insecure);
    mem_free(s->mirrors);
}

void registry_session_close(struct registry_session *s) {
    if (s == NULL) {
        return;
    }
    free_lists(s);
    registry_http_close(s->http);
    mem_free(s);
}

void registry_document_deinit(struct registry_document *d) {
    buf_deinit(&d->body);
}

/* ---- where ---- */

/* What one operation needs on every attempt. */
struct job {
    struct registry_session *s;
    const char *login_host; /* whose credentials are used; borrowed */
    char repository[1300];  /* with a mirror's prefix */
    bool is_plain;          /* http */
    struct buf url;         /* owned */
    const char *accept;     /* NULL = anything */
    const struct registry_http_sink *sink;
    const uint64_t *got;                      /* bytes of a stream so far; NULL for a document */
    const struct registry_consumer *consumer; /* of a stream */
    unsigned failures;                        /* in a row */
    unsigned resumes;
    uint64_t got_before; /* at the last failure that counted */
};

static const struct mirror *find_mirror(const struct registry_session *s, const char *host) {
    for (size_t i = 0; i < s->mirror_count; i++) {
        if (strcasecmp(s->mirrors[i].host, host) == 0) {
            return &s->mirrors[i];
        }
    }
    return NULL;
}

static bool is_insecure(const struct registry_session *s, const char *host) {
    for (size_t i = 0; i < s->insecure_count; i++) {
        if (strcasecmp(s->insecure[i], host) == 0) {
            return true;
        }
    }
    return false;
}

static void locate(struct job *j, const struct image_ref *ref, enum registry_part part,
                   const char *name) {
    const struct mirror *m = find_mirror(j->s, ref->host);
    bool is_hub = m == NULL && strcmp(ref->host, IMAGE_REF_HOST) == 0;
    const char *server = m != NULL ? m->server : is_hub ? HUB_API : ref->host;
    const char *scheme = m != NULL ? m->scheme : is_insecure(j->s, ref->host) ? "http" : "https";
    snprintf(j->repository, sizeof j->repository, "%s%s", m != NULL ? m->prefix : "", ref->name);
    j->login_host = m != NULL ? m->server : ref->host;
    j->is_plain = strcmp(scheme, "http") == 0;
    buf_appendf(&j->url, "%s://%s/v2/%s/%s/%s", scheme, server, j->repository,
                part == REGISTRY_MANIFEST ? "manifests" : "blobs", name);
}

/* ---- one attempt ---- */

static bool is_job_over(void *data) {
    const struct job *j = data;
    const struct registry_consumer *c = j->consumer;
    return j->s->is_over(j->s->data) || (c != NULL && c->is_over != NULL && c->is_over(c->data));
}

static RESULT send_once(struct job *j, struct buf *header, struct registry_http_answer *a,
                        struct err *err) {
    const struct registry_http_request request = {.url = buf_cstr(&j->url),
                                                  .accept = j->accept,
                                                  .authorization =
                                                      header->size > 0 ? buf_cstr(header) : NULL,
                                                  .from = j->got != NULL ? *j->got : 0,
                                                  .limit = LIMIT_REGISTRY_DOCUMENT,
                                                  .sink = j->sink,
                                                  .is_over = is_job_over,
                                                  .data = j};
    return registry_http_do(j->s->http, &request, a, err);
}

/* A 401 is answered once: with a new token, for an old one may have run out. One of another origin
 * is not: whoever stores the blobs must not send us for a token with the user's password. *a is
 * where a Retry-After stands when this fails. */
static RESULT attempt(struct job *j, struct registry_http_answer *a, struct err *err) {
    const struct registry_login_place at = {j->login_host, j->repository, j->is_plain};
    AUTO(buf_deinit)
    struct buf header = {0};
    unsigned seen = registry_login_get(j->s->login, &at, &header);
    TRY(send_once(j, &header, a, err));
    if (a->status != 401 || a->is_elsewhere) {
        return OK;
    }
    struct auth_challenge challenge = a->challenge;
    registry_http_answer_deinit(a);
    *a = (struct registry_http_answer){0};
    TRY(registry_login_renew(j->s->login, j->s->http, &at, &challenge, seen, &header, a, err));
    registry_http_answer_deinit(a);
    *a = (struct registry_http_answer){0};
    return send_once(j, &header, a, err);
}

/* ": CODE: message" of a registry's refusal (distribution specification, "Error Codes"). */
static void read_reason(const struct registry_http_answer *a, char *out, size_t size) {
    AUTO(oci_json_free)
    json_t *root = NULL;
    out[0] = '\0';
    if (!is_ok(oci_json_parse(buf_span(&a->body), LIMIT_REGISTRY_ERROR, "", &root, NULL))) {
        return;
    }
    const json_t *first = json_array_get(json_object_get(root, "errors"), 0);
    const char *code = json_string_value(json_object_get(first, "code"));
    const char *message = json_string_value(json_object_get(first, "message"));
    if (code != NULL || message != NULL) {
        snprintf(out, size, ": %.60s%s%.200s", code ? code : "", code && message ? ": " : "",
                 message ? message : "");
    }
}

static RESULT refuse(const struct job *j, const struct registry_http_answer *a, struct err *err) {
    char why[300];
    read_reason(a, why, sizeof why);
    ENSURE(!a->is_elsewhere || (a->status != 401 && a->status != 403), err, UNAVAILABLE,
           "the registry sends us to another server, which denies access (status %ld%s)", a->status,
           why);
    ENSURE(a->status != 401 && a->status != 403, err, CONFIG,
           "the registry denies access (status %ld%s); the name may be wrong, or log in with "
           "`docker login %s`",
           a->status, why, j->login_host);
    ENSURE(a->status != 404, err, NOT_FOUND, "the registry has no such image%s", why);
    ENSURE(a->status != 416, err, DIFFERS, "the registry has fewer bytes than the manifest says");
    ENSURE(a->status != 429, err, BUSY, "the registry wants us to wait (status 429%s)", why);
    ENSURE(a->status < 500 && a->status != 408, err, UNAVAILABLE,
           "the registry fails with status %ld%s", a->status, why);
    return err_set(err, ERR_MALFORMED, "the registry answers with status %ld%s", a->status, why);
}

/* ---- patience ---- */

/* True after a pause; false when `r` is final. */
static bool may_retry(struct job *j, struct result r, const struct registry_http_answer *a,
                      struct err *err) {
    if (r.code != ERR_UNAVAILABLE && r.code != ERR_BUSY) {
        return false;
    }
    uint64_t got = j->got != NULL ? *j->got : 0;
    j->failures = got - j->got_before >= PROGRESS_BYTES ? 0 : j->failures;
    j->got_before = j->failures == 0 ? got : j->got_before;
    j->failures++;
    j->resumes++;
    uint64_t asked = 0;
    if (a->has_retry_after) {
        err_ignore(
            retry_after_parse(span_str(a->retry_after), host_unix_s(j->s->host), &asked, NULL),
            "what is no time is no wish");
    }
    if (j->failures >= LIMIT_REGISTRY_ATTEMPTS || j->resumes >= LIMIT_REGISTRY_RESUMES ||
        asked > LIMIT_REGISTRY_RETRY_MS) {
        if (asked > 0) {
            err_advise(err, asked);
        }
        return false;
    }
    uint64_t pause = (uint64_t)LIMIT_REGISTRY_BACKOFF_MS << (j->failures - 1);
    pause += host_random_below(j->s->host, pause / 2 + 1);
    pause = pause > asked ? pause : asked;
    log_warn("%s; trying again in %" PRIu64 " ms", err->text, pause);
    j->s->wait(j->s->data, pause);
    return true;
}

/* Ends with an answer of 200 or 206. `is_whole` (may be NULL) says whether a stream got all. */
static RESULT run(struct job *j, bool (*is_whole)(const struct job *),
                  struct registry_http_answer *out, struct err *err) {
    struct err why = {0};
    for (;;) {
        struct registry_http_answer a = {0};
        ENSURE(!is_job_over(j), err, CANCELED, "canceled");
        struct result r = attempt(j, &a, &why);
        bool good = a.status == 200 || a.status == 206;
        if (is_ok(r) && !good) {
            r = refuse(j, &a, &why);
        } else if (is_ok(r) && is_whole != NULL && !is_whole(j)) {
            r = err_set(&why, ERR_UNAVAILABLE,
                        "the registry ended the blob after %" PRIu64 " bytes", *j->got);
        }
        if (is_ok(r)) {
            *out = a;
            return OK;
        }
        bool again = may_retry(j, r, &a, &why);
        registry_http_answer_deinit(&a);
        if (!again) {
            uint32_t advice = why.retry_ms;
            bool is_end = j->failures >= LIMIT_REGISTRY_ATTEMPTS;
            r = err_set(err, r.code, "%s%s", why.text, is_end ? "; this was the last attempt" : "");
            if (advice > 0) {
                err_advise(err, advice);
            }
            return r;
        }
    }
}

static void deinit_job(struct job *j) {
    buf_deinit(&j->url);
}

/* ---- documents ---- */

struct result registry_session_document(struct registry_session *s, const struct image_ref *ref,
                                        enum registry_part part, const char *name,
                                        struct registry_document *out, struct err *err) {
    AUTO(deinit_job)
    struct job j = {.s = s, .accept = part == REGISTRY_MANIFEST ? OCI_MANIFEST_ACCEPT : NULL};
    struct registry_http_answer a = {0};
    locate(&j, ref, part, name);
    TRY(run(&j, NULL, &a, err));
    ENSURE(a.status == 200, err, MALFORMED, "the registry answers with a part of the document");
    *out = (struct registry_document){.body = a.body};
    memcpy(out->content_type, a.content_type, sizeof out->content_type);
    a.body = (struct buf){0};
    registry_http_answer_deinit(&a);
    return OK;
}

/* ---- blobs ---- */

struct blob {
    const struct registry_consumer *consumer;
    uint64_t size; /* by the manifest */
    uint64_t got;  /* and handed on */
    uint64_t skip; /* of this answer: we had it before */
};

static RESULT begin_blob(void *data, const struct registry_http_answer *head, struct err *err) {
    struct blob *b = data;
    b->skip = head->status == 200 ? b->got : 0;
    uint64_t size = head->status == 200 ? head->length : b->size - b->got;
    if (head->status == 206) {
        ENSURE(b->got > 0 && head->has_range && head->range_from == b->got, err, MALFORMED,
               "the registry answers with another part of the blob than the one asked for");
        ENSURE(head->range_size == UINT64_MAX || head->range_size == b->size, err, DIFFERS,
               "the registry has %" PRIu64 " bytes, the manifest says %" PRIu64, head->range_size,
               b->size);
        return OK;
    }
    ENSURE(!head->has_length || size == b->size, err, DIFFERS,
           "the registry has %" PRIu64 " bytes, the manifest says %" PRIu64, size, b->size);
    return OK;
}

static RESULT take_blob(void *data, struct span bytes, struct err *err) {
    struct blob *b = data;
    size_t known = b->skip < bytes.size ? (size_t)b->skip : bytes.size;
    b->skip -= known;
    bytes = span_of(bytes.data + known, bytes.size - known);
    ENSURE(bytes.size <= b->size - b->got, err, DIFFERS,
           "the registry sends more than the %" PRIu64 " bytes that the manifest says", b->size);
    if (bytes.size == 0) {
        return OK;
    }
    TRY(b->consumer->feed(b->consumer->data, bytes, err));
    b->got += bytes.size;
    return OK;
}

static bool is_whole_blob(const struct job *j) {
    const struct blob *b = j->sink->data;
    return b->got == b->size;
}

struct result registry_session_blob(struct registry_session *s, const struct image_ref *ref,
                                    const uint8_t digest[SHA256_SIZE], uint64_t size,
                                    const struct registry_consumer *consumer, struct err *err) {
    char name[IMAGE_REF_DIGEST_TEXT];
    struct blob b = {.consumer = consumer, .size = size};
    const struct registry_http_sink sink = {&b, begin_blob, take_blob};
    struct registry_http_answer a = {0};
    AUTO(deinit_job)
    struct job j = {.s = s, .sink = &sink, .got = &b.got, .consumer = consumer};
    locate(&j, ref, REGISTRY_BLOB, image_ref_digest_text(digest, name));
    struct result r = run(&j, is_whole_blob, &a, err);
    registry_http_answer_deinit(&a);
    return r;
}
