/* The transport of kds.h: see kds_http.h.
 *
 * The multi interface carries one transfer, because a sleep in it can be ended from another thread
 * (curl_multi_wakeup): whoever stops does not wait for a server that hangs.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/endorse/kds_http.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include <curl/curl.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define POLL_MS 1000 /* a sleep at most; libcurl's own deadlines end it earlier */

struct kds_http {
    CURLM *multi;  /* owned */
    char *ca_file; /* owned; NULL = the system's */
    uint64_t connect_ms;
    uint64_t total_ms;
    atomic_bool canceled;
};

/* One request. */
struct transfer {
    CURL *easy;
    size_t limit;        /* of the body, bytes */
    size_t header_bytes; /* so far */
    bool has_long_header;
    struct kds_http_answer answer;
    char detail[CURL_ERROR_SIZE];
};

void kds_http_answer_deinit(struct kds_http_answer *a) {
    buf_deinit(&a->body);
}

/* ---- life ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_library(void) {
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

struct result kds_http_open(const struct kds_http_config *config, struct kds_http **out,
                            struct err *err) {
    CHECK(config->connect_ms > 0 && config->total_ms > 0);
    CHECK(pthread_once(&once, init_library) == 0);
    CURLM *multi = curl_multi_init();
    ENSURE(multi != NULL, err, NOMEM, "libcurl cannot start");
    struct kds_http *h = mem_alloc(sizeof *h);
    *h = (struct kds_http){.multi = multi,
                           .ca_file = config->ca_file ? mem_strdup(config->ca_file) : NULL,
                           .connect_ms = config->connect_ms,
                           .total_ms = config->total_ms};
    atomic_init(&h->canceled, false);
    *out = h;
    return OK;
}

void kds_http_close(struct kds_http *h) {
    if (h == NULL) {
        return;
    }
    curl_multi_cleanup(h->multi);
    mem_free(h->ca_file);
    mem_free(h);
}

void kds_http_cancel(struct kds_http *h) {
    atomic_store(&h->canceled, true);
    curl_multi_wakeup(h->multi);
}

/* ---- what the server sends ---- */

static size_t on_body(char *data, size_t size, size_t count, void *user) {
    struct transfer *t = user;
    size_t bytes = size * count;
    if (bytes > t->limit - t->answer.body.size) {
        t->answer.is_too_large = true;
        return 0; /* ends the transfer */
    }
    buf_append(&t->answer.body, data, bytes);
    return bytes;
}

static size_t on_header(char *data, size_t size, size_t count, void *user) {
    (void)data;
    struct transfer *t = user;
    size_t bytes = size * count;
    t->header_bytes += bytes;
    t->has_long_header = t->header_bytes > LIMIT_KDS_HEADER;
    return t->has_long_header ? 0 : bytes;
}

/* The last header of this name in the final answer. */
static bool read_header(CURL *easy, const char *name, char *out, size_t size) {
    struct curl_header *header = NULL;
    if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK) {
        return false;
    }
    snprintf(out, size, "%s", header->value);
    err_clean(out);
    return true;
}

static void read_answer(struct transfer *t) {
    struct kds_http_answer *a = &t->answer;
    CHECK(curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &a->status) == CURLE_OK);
    a->has_retry_after = read_header(t->easy, "Retry-After", a->retry_after, sizeof a->retry_after);
    read_header(t->easy, "Location", a->location, sizeof a->location);
}

/* ---- one request ---- */

static bool set_bounds(const struct kds_http *h, CURL *e) {
    return curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)h->connect_ms) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)h->total_ms) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)LIMIT_KDS_STALL_S) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           /* What a liar sends behind its answer must not become the next one. */
           curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK &&
           /* A name server that hangs must not hold us: its thread ends by itself. */
           curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK;
}

static bool set_trust(const struct kds_http *h, CURL *e) {
    bool good = curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
                curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
                curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
    if (h->ca_file == NULL) {
        return good;
    }
    return good && curl_easy_setopt(e, CURLOPT_CAINFO, h->ca_file) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_CAPATH, NULL) == CURLE_OK;
}

static bool set_listeners(struct transfer *t) {
    CURL *e = t->easy;
    return curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEDATA, t) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HEADERDATA, t) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->detail) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_USERAGENT, "contrast/" CONTRAST_VERSION) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK;
}

/* The class of what went wrong before a whole answer was there. */
static enum err_code code_of(CURLcode code) {
    switch ((int)code) { /* a few of a hundred */
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return ERR_TLS;
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_URL_MALFORMAT:
        return ERR_CONFIG;
    case CURLE_UNSUPPORTED_PROTOCOL: /* also HTTP/0.9: bytes without a header */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_WRITE_ERROR:
        return ERR_MALFORMED;
    default:
        return ERR_UNAVAILABLE;
    }
}

static struct result judge(const struct transfer *t, CURLcode code, struct err *err) {
    if (code == CURLE_OK || t->answer.is_too_large) {
        return OK;
    }
    ENSURE(!t->has_long_header, err, MALFORMED, "more than %d bytes of headers", LIMIT_KDS_HEADER);
    return err_set(err, code_of(code), "%s",
                   t->detail[0] != '\0' ? t->detail : curl_easy_strerror(code));
}

/* Turns the loop until the transfer ends; libcurl's own deadline bounds it. */
static struct result drive(struct kds_http *h, CURLcode *code, struct err *err) {
    for (;;) {
        int running = 0;
        ENSURE(!atomic_load(&h->canceled), err, CANCELED, "stopped");
        ENSURE(curl_multi_perform(h->multi, &running) == CURLM_OK, err, INTERNAL, "libcurl failed");
        if (running == 0) {
            break;
        }
        ENSURE(curl_multi_poll(h->multi, NULL, 0, POLL_MS, NULL) == CURLM_OK, err, INTERNAL,
               "libcurl failed");
    }
    int left = 0;
    const CURLMsg *message = curl_multi_info_read(h->multi, &left);
    ENSURE(message != NULL && message->msg == CURLMSG_DONE, err, INTERNAL,
           "libcurl lost a request");
    *code = message->data.result;
    return OK;
}

static struct result run(struct kds_http *h, struct transfer *t, const char *url, struct err *err) {
    CURLcode code = CURLE_OK;
    bool good = curl_easy_setopt(t->easy, CURLOPT_URL, url) == CURLE_OK && set_bounds(h, t->easy) &&
                set_trust(h, t->easy) && set_listeners(t);
    ENSURE(good, err, INTERNAL, "libcurl refuses an option");
    ENSURE(curl_multi_add_handle(h->multi, t->easy) == CURLM_OK, err, INTERNAL, "libcurl failed");
    struct result r = drive(h, &code, err);
    if (is_ok(r)) {
        read_answer(t);
        r = judge(t, code, err);
    }
    curl_multi_remove_handle(h->multi, t->easy);
    return r;
}

struct result kds_http_get(struct kds_http *h, const char *url, size_t limit,
                           struct kds_http_answer *out, struct err *err) {
    struct transfer t = {.easy = curl_easy_init(), .limit = limit};
    ENSURE(t.easy != NULL, err, NOMEM, "libcurl cannot start a request");
    struct result r = run(h, &t, url, err);
    curl_easy_cleanup(t.easy);
    if (!is_ok(r)) {
        kds_http_answer_deinit(&t.answer);
        return r;
    }
    *out = t.answer;
    return OK;
}
