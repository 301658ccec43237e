/* The transport of a registry client: see registry_http.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/registry_http.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define NO_TLS "wrong version number" /* what OpenSSL says of an answer in plain http */

struct registry_http {
    CURL *easy;    /* owned */
    char *ca_file; /* owned; NULL = the system's */
    uint64_t connect_ms;
    uint64_t total_ms;
    unsigned stall_s;
};

/* One exchange with one server. */
struct transfer {
    CURL *easy;
    const struct registry_http_request *request;
    struct registry_http_answer *answer;
    size_t header_bytes;
    bool is_begun;    /* the head was read */
    bool is_streamed; /* the sink takes the body */
    bool is_cut;      /* ended by us: the rest of an error is not wanted */
    bool is_elsewhere;
    struct result failure;
    struct err failure_text;
    char detail[CURL_ERROR_SIZE];
};

void registry_http_answer_deinit(struct registry_http_answer *a) {
    buf_deinit(&a->location);
    buf_deinit(&a->body);
}

/* ---- life ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_library(void) {
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

struct result registry_http_open(const struct registry_http_config *config,
                                 struct registry_http **out, struct err *err) {
    CHECK(pthread_once(&once, init_library) == 0);
    CURL *easy = curl_easy_init();
    ENSURE(easy != NULL, err, CONFIG, "libcurl cannot start");
    struct registry_http *h = mem_alloc(sizeof *h);
    *h = (struct registry_http){
        .easy = easy,
        .ca_file = config->ca_file != NULL ? mem_strdup(config->ca_file) : NULL,
        .connect_ms = config->connect_ms > 0 ? config->connect_ms : LIMIT_REGISTRY_CONNECT_MS,
        .total_ms = config->total_ms > 0 ? config->total_ms : LIMIT_REGISTRY_MS,
        .stall_s = config->stall_s > 0 ? config->stall_s : LIMIT_REGISTRY_STALL_S};
    *out = h;
    return OK;
}

void registry_http_close(struct registry_http *h) {
    if (h != NULL) {
        curl_easy_cleanup(h->easy);
        mem_free(h->ca_file);
        mem_free(h);
    }
}

/* ---- the head of an answer ---- */

/* A decimal number, and the rest of the text behind it. */
static bool take_number(const char **text, uint64_t *out) {
    uint64_t value = 0;
    size_t n = 0;
    for (; (*text)[n] >= '0' && (*text)[n] <= '9'; n++) {
        if (n >= 18) {
            return false;
        }
        value = value * 10 + (uint64_t)((*text)[n] - '0');
    }
    *text += n;
    *out = value;
    return n > 0;
}

bool registry_http_parse_range(const char *text, uint64_t *from, uint64_t *size) {
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t all = UINT64_MAX;
    if (strncasecmp(text, "bytes ", 6) != 0) {
        return false;
    }
    text += 6;
    if (!take_number(&text, &first) || *text++ != '-' || !take_number(&text, &last) ||
        *text++ != '/') {
        return false;
    }
    bool open_end = strcmp(text, "*") == 0;
    if (!open_end && (!take_number(&text, &all) || *text != '\0')) {
        return false;
    }
    if (first > last || last >= all) {
        return false;
    }
    *from = first;
    *size = all;
    return true;
}

/* The header number `index` of this name; NULL behind the last one. */
static const char *header(CURL *easy, const char *name, size_t index) {
    struct curl_header *found = NULL;
    bool has = curl_easy_header(easy, name, index, CURLH_HEADER, -1, &found) == CURLHE_OK;
    return has ? found->value : NULL;
}

static RESULT read_challenges(CURL *easy, struct auth_challenge *out, struct err *err) {
    for (size_t i = 0; i < LIMIT_REGISTRY_CHALLENGES; i++) {
        const char *value = header(easy, "WWW-Authenticate", i);
        if (value == NULL) {
            break;
        }
        TRY(auth_challenge_parse(span_str(value), out, err));
    }
    return OK;
}

static void read_texts(CURL *easy, struct registry_http_answer *a) {
    const char *type = header(easy, "Content-Type", 0);
    const char *after = header(easy, "Retry-After", 0);
    const char *location = header(easy, "Location", 0);
    snprintf(a->content_type, sizeof a->content_type, "%s", type != NULL ? type : "");
    err_clean(a->content_type);
    snprintf(a->retry_after, sizeof a->retry_after, "%s", after != NULL ? after : "");
    a->has_retry_after = after != NULL;
    buf_append_str(&a->location, location != NULL ? location : "");
}

static RESULT read_head(struct transfer *t, struct err *err) {
    struct registry_http_answer *a = t->answer;
    curl_off_t length = -1;
    t->is_begun = true;
    CHECK(curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &a->status) == CURLE_OK);
    CHECK(curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length) == CURLE_OK);
    a->is_elsewhere = t->is_elsewhere;
    a->has_length = length >= 0;
    a->length = length >= 0 ? (uint64_t)length : 0;
    read_texts(t->easy, a);
    const char *range = header(t->easy, "Content-Range", 0);
    if (a->status == 206) {
        a->has_range =
            range != NULL && registry_http_parse_range(range, &a->range_from, &a->range_size);
    }
    return a->status == 401 ? read_challenges(t->easy, &a->challenge, err) : OK;
}

/* ---- callbacks ---- */

static RESULT begin(struct transfer *t, struct err *err) {
    TRY(read_head(t, err));
    const struct registry_http_sink *sink = t->request->sink;
    t->is_streamed = sink != NULL && (t->answer->status == 200 || t->answer->status == 206);
    return t->is_streamed ? sink->begin(sink->data, t->answer, err) : OK;
}

static RESULT keep(struct transfer *t, struct span bytes, struct err *err) {
    struct buf *body = &t->answer->body;
    bool is_error = t->answer->status != 200;
    size_t limit = is_error ? LIMIT_REGISTRY_ERROR : t->request->limit;
    if (bytes.size > limit - body->size) {
        ENSURE(is_error, err, TOO_LARGE, "more than %zu bytes", limit);
        t->is_cut = true;
        bytes.size = limit - body->size;
    }
    buf_append_span(body, bytes);
    return OK;
}

static RESULT take(struct transfer *t, struct span bytes, struct err *err) {
    if (!t->is_begun) {
        TRY(begin(t, err));
    }
    const struct registry_http_sink *sink = t->request->sink;
    return t->is_streamed ? sink->write(sink->data, bytes, err) : keep(t, bytes, err);
}

static size_t on_body(char *data, size_t size, size_t count, void *user) {
    struct transfer *t = user;
    t->failure = take(t, span_of(data, size * count), &t->failure_text);
    return is_ok(t->failure) && !t->is_cut ? size * count : 0;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    const struct transfer *t = user;
    const struct registry_http_request *q = t->request;
    (void)a, (void)b, (void)c, (void)d;
    return q->is_over != NULL && q->is_over(q->data) ? 1 : 0;
}

static size_t on_header(char *data, size_t size, size_t count, void *user) {
    (void)data;
    struct transfer *t = user;
    t->header_bytes += size * count;
    return t->header_bytes > LIMIT_REGISTRY_HEADER ? 0 : size * count;
}

/* ---- one exchange ---- */

static bool set_bounds(const struct registry_http *h, const struct transfer *t) {
    CURL *e = t->easy;
    long total = t->request->sink != NULL ? 0 : (long)h->total_ms;
    return curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)h->connect_ms) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, total) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, (long)LIMIT_REGISTRY_STALL_BYTES) ==
               CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)h->stall_s) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
}

static bool set_trust(const struct registry_http *h, CURL *e) {
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
           curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_XFERINFODATA, t) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HEADERDATA, t) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->detail) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_USERAGENT, "contrast/" CONTRAST_VERSION) == CURLE_OK;
}

/* "Name: value" in front of the list; NULL when it cannot be had. */
static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value) {
    AUTO(buf_deinit)
    struct buf line = {0};
    buf_appendf(&line, "%s: ", name);
    buf_append_str(&line, value);
    struct curl_slist *longer = curl_slist_append(list, buf_cstr(&line));
    CHECK(longer != NULL);
    return longer;
}

static void free_headers(struct curl_slist *list) {
    for (const struct curl_slist *h = list; h != NULL; h = h->next) {
        mem_wipe(h->data, strlen(h->data));
    }
    curl_slist_free_all(list);
}

static struct curl_slist *make_headers(const struct registry_http_request *q, bool is_home) {
    struct curl_slist *list = NULL;
    if (q->accept != NULL) {
        list = add_header(list, "Accept", q->accept);
    }
    if (q->authorization != NULL && is_home) {
        list = add_header(list, "Authorization", q->authorization);
    }
    if (q->from > 0) {
        char range[48];
        snprintf(range, sizeof range, "bytes=%" PRIu64 "-", q->from);
        list = add_header(list, "Range", range);
    }
    return list;
}

static enum err_code code_of(CURLcode code) {
    switch ((int)code) { /* a few of a hundred */
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return ERR_TLS;
    case CURLE_ABORTED_BY_CALLBACK:
        return ERR_CANCELED;
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_URL_MALFORMAT:
        return ERR_CONFIG;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_WRITE_ERROR:
        return ERR_MALFORMED;
    default:
        return ERR_UNAVAILABLE;
    }
}

/* An address for people: without its query. */
static int shown_size(const char *url) {
    size_t n = strcspn(url, "?#");
    return (int)(n < 300 ? n : 300);
}

/* Host and port of an address. */
static struct span host_of(const char *url) {
    const char *start = strstr(url, "://");
    start = start != NULL ? start + 3 : url;
    return span_of(start, strcspn(start, "/?#"));
}

static RESULT judge(struct transfer *t, CURLcode code, const char *url, struct err *err) {
    struct span host = host_of(url);
    if (!is_ok(t->failure)) {
        return err_set(err, t->failure_text.code, "%s", t->failure_text.text);
    }
    ENSURE(t->header_bytes <= LIMIT_REGISTRY_HEADER, err, MALFORMED,
           "%.*s: more than %d bytes of headers", shown_size(url), url, LIMIT_REGISTRY_HEADER);
    ENSURE(strstr(t->detail, NO_TLS) == NULL, err, TLS,
           "%.*s: the server does not speak TLS; if that is right, allow plain http for it with "
           "--insecure-registry %.*s",
           shown_size(url), url, (int)host.size, (const char *)host.data);
    if (code != CURLE_OK && !t->is_cut) {
        const char *detail = t->detail[0] != '\0' ? t->detail : curl_easy_strerror(code);
        return err_set(err, code_of(code), "%.*s: %.300s%s", shown_size(url), url, detail,
                       code == CURLE_PEER_FAILED_VERIFICATION
                           ? "; for a private authority name its file with --registry-ca"
                           : "");
    }
    if (t->is_begun) {
        return OK;
    }
    /* An answer without a body. */
    return err_wrap(begin(t, err), err, "%.*s", shown_size(url), url);
}

static RESULT exchange(struct registry_http *h, const struct registry_http_request *q,
                       const char *url, bool is_home, struct registry_http_answer *a,
                       struct err *err) {
    struct transfer t = {
        .easy = h->easy, .request = q, .answer = a, .is_elsewhere = !is_home, .failure = OK};
    curl_easy_reset(h->easy);
    bool good = curl_easy_setopt(h->easy, CURLOPT_URL, url) == CURLE_OK && set_bounds(h, &t) &&
                set_trust(h, h->easy) && set_listeners(&t);
    if (good && q->form != NULL) {
        good = curl_easy_setopt(h->easy, CURLOPT_POSTFIELDS, q->form) == CURLE_OK;
    }
    struct curl_slist *headers = make_headers(q, is_home);
    good = good && curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, headers) == CURLE_OK;
    CURLcode code = good ? curl_easy_perform(h->easy) : CURLE_FAILED_INIT;
    struct result r = judge(&t, code, url, err);
    curl_easy_reset(h->easy);
    free_headers(headers);
    return r;
}

/* ---- redirects ---- */

static void free_url(CURLU **url) {
    curl_url_cleanup(*url);
}

static void free_text(char **text) {
    curl_free(*text);
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart part) {
    AUTO(free_text)
    char *x = NULL;
    AUTO(free_text)
    char *y = NULL;
    return curl_url_get(a, part, &x, CURLU_DEFAULT_PORT) == CURLUE_OK &&
           curl_url_get(b, part, &y, CURLU_DEFAULT_PORT) == CURLUE_OK && strcasecmp(x, y) == 0;
}

static bool is_same_origin(CURLU *a, CURLU *b) {
    return same_part(a, b, CURLUPART_SCHEME) && same_part(a, b, CURLUPART_HOST) &&
           same_part(a, b, CURLUPART_PORT);
}

static bool has_part(CURLU *url, CURLUPart part, const char *value) {
    AUTO(free_text)
    char *text = NULL;
    return curl_url_get(url, part, &text, 0) == CURLUE_OK &&
           (value == NULL || strcasecmp(text, value) == 0);
}

static bool is_redirect(long status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Moves *at on to the answer's Location. */
static RESULT follow(CURLU *at, struct registry_http_answer *a, struct err *err) {
    bool was_https = has_part(at, CURLUPART_SCHEME, "https");
    const char *location = buf_cstr(&a->location);
    ENSURE(a->location.size > 0 && a->location.size <= LIMIT_REGISTRY_URL, err, MALFORMED,
           "a redirect leads nowhere, or its address is too long");
    ENSURE(curl_url_set(at, CURLUPART_URL, location, 0) == CURLUE_OK, err, MALFORMED,
           "a redirect leads to what is no address: '%.*s'", shown_size(location), location);
    bool is_https = has_part(at, CURLUPART_SCHEME, "https");
    ENSURE(is_https || (!was_https && has_part(at, CURLUPART_SCHEME, "http")), err, MALFORMED,
           "a redirect leads away from https: '%.*s'", shown_size(location), location);
    ENSURE(!has_part(at, CURLUPART_USER, NULL), err, MALFORMED, "a redirect names a user");
    return OK;
}

static RESULT walk(struct registry_http *h, const struct registry_http_request *q, CURLU *home,
                   CURLU *at, struct registry_http_answer *a, struct err *err) {
    for (int i = 0; i <= LIMIT_REGISTRY_REDIRECTS; i++) {
        AUTO(free_text)
        char *url = NULL;
        ENSURE(curl_url_get(at, CURLUPART_URL, &url, 0) == CURLUE_OK, err, NOMEM, "libcurl");
        TRY(exchange(h, q, url, is_same_origin(home, at), a, err));
        if (!is_redirect(a->status) || q->form != NULL) {
            return OK;
        }
        TRY(err_wrap(follow(at, a, err), err, "%.*s", shown_size(url), url));
        registry_http_answer_deinit(a);
        *a = (struct registry_http_answer){0};
    }
    return err_set(err, ERR_MALFORMED, "%.*s: more than %d redirects", shown_size(q->url), q->url,
                   LIMIT_REGISTRY_REDIRECTS);
}

struct result registry_http_do(struct registry_http *h, const struct registry_http_request *request,
                               struct registry_http_answer *out, struct err *err) {
    AUTO(free_url)
    CURLU *home = curl_url();
    AUTO(free_url)
    CURLU *at = curl_url();
    struct registry_http_answer a = {0};
    ENSURE(home != NULL && at != NULL, err, NOMEM, "libcurl cannot start a request");
    ENSURE(strlen(request->url) <= LIMIT_REGISTRY_URL &&
               curl_url_set(home, CURLUPART_URL, request->url, 0) == CURLUE_OK &&
               curl_url_set(at, CURLUPART_URL, request->url, 0) == CURLUE_OK,
           err, CONFIG, "'%.*s' is not an address", shown_size(request->url), request->url);
    struct result r = walk(h, request, home, at, &a, err);
    if (!is_ok(r)) {
        registry_http_answer_deinit(&a);
        return r;
    }
    *out = a;
    return OK;
}

void registry_http_escape(struct span text, struct buf *out) {
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        char coded[3] = {'%', hex[c >> 4], hex[c & 15]};
        buf_append(out, plain ? (const void *)&c : coded, plain ? 1 : sizeof coded);
    }
}
