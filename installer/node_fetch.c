/* Fetching: see the header. libcurl is set up by the first URL that needs it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/limits.h"

#define STALL_BYTES 1024L /* a second */
#define STALL_SECONDS 30L
#define CONNECT_SECONDS 20L
#define ATTEMPTS 4
#define PAUSE_MS 1000 /* before the second attempt; doubles */

static bool is_stopped(const volatile sig_atomic_t *stop) {
    return stop != NULL && *stop != 0;
}

/* --- file:// */

static RESULT copy_file(int fd, const char *path, const struct node_sink *sink,
                        const volatile sig_atomic_t *stop, struct err *err) {
    static const size_t chunk_size = 256 * 1024;
    AUTO(buf_deinit)
    struct buf chunk = {0};
    (void)buf_extend(&chunk, chunk_size);
    for (;;) {
        ENSURE(!is_stopped(stop), err, CANCELED, "%s: stopped", path);
        ssize_t n = read(fd, chunk.data, chunk_size);
        if (n == 0) {
            return OK;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        ENSURE(n > 0, err, IO, "%s: %s", path, strerror(errno));
        TRY(sink->feed(sink->data, span_of(chunk.data, (size_t)n), err));
    }
}

static RESULT fetch_file(const char *path, const struct node_sink *sink,
                         const volatile sig_atomic_t *stop, struct err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ENSURE(fd >= 0 || errno != ENOENT, err, NOT_FOUND,
           "%s: not in the installer's image; mount it there, or correct the url", path);
    ENSURE(fd >= 0, err, IO, "%s: %s", path, strerror(errno));
    struct stat st;
    struct result r = OK;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        r = err_set(err, ERR_INVALID, "%s: no regular file", path);
    } else if (st.st_size > LIMIT_NODE_FILE) {
        r = err_set(err, ERR_TOO_LARGE, "%s: more than %" PRId64 " bytes", path,
                    (int64_t)LIMIT_NODE_FILE);
    } else {
        r = copy_file(fd, path, sink, stop, err);
    }
    (void)close(fd);
    return r;
}

/* --- The web */

struct transfer {
    const struct node_sink *sink;
    const volatile sig_atomic_t *stop;
    uint64_t size;      /* bytes that came */
    struct err failure; /* of the sink; code OK: none */
};

static size_t on_bytes(char *data, size_t one, size_t size, void *user) {
    (void)one;
    struct transfer *t = user;
    t->size += size;
    if (t->size > LIMIT_NODE_FILE) {
        (void)is_ok(err_set(&t->failure, ERR_TOO_LARGE, "more than %" PRId64 " bytes",
                            (int64_t)LIMIT_NODE_FILE));
        return 0;
    }
    return is_ok(t->sink->feed(t->sink->data, span_of(data, size), &t->failure)) ? size : 0;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return is_stopped(((const struct transfer *)user)->stop) ? 1 : 0;
}

static bool set_up(CURL *curl, const char *url, struct transfer *t, char *text) {
    const char *protocols = strncmp(url, "https://", 8) == 0 ? "https" : "http,https";
    return curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocols) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 5L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, t) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t) == CURLE_OK;
}

static enum err_code code_of(CURL *curl, CURLcode code) {
    long status = 0;
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_HTTP_RETURNED_ERROR) {
        return status >= 500 || status == 429 ? ERR_UNAVAILABLE
               : status == 404                ? ERR_NOT_FOUND
                                              : ERR_INVALID;
    }
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
        code == CURLE_SSL_CONNECT_ERROR) {
        return ERR_TLS;
    }
    return code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT ? ERR_INVALID
                                                                             : ERR_UNAVAILABLE;
}

static RESULT attempt(const char *url, struct transfer *t, struct err *err) {
    CURL *curl = curl_easy_init();
    char text[CURL_ERROR_SIZE] = "";
    CHECK(curl != NULL);
    CURLcode code = set_up(curl, url, t, text) ? curl_easy_perform(curl) : CURLE_FAILED_INIT;
    enum err_code class = code_of(curl, code);
    curl_easy_cleanup(curl);
    if (t->failure.code != ERR_OK) {
        return err_set(err, t->failure.code, "%s", t->failure.text);
    }
    if (code == CURLE_OK) {
        return OK;
    }
    if (code == CURLE_ABORTED_BY_CALLBACK) {
        return err_set(err, ERR_CANCELED, "stopped");
    }
    return err_set(err, class, "%s", text[0] != '\0' ? text : curl_easy_strerror(code));
}

/* A pause that a signal ends. */
static void pause_ms(long ms) {
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

static RESULT fetch_web(const char *url, const struct node_sink *sink,
                        const volatile sig_atomic_t *stop, struct err *err) {
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    struct result r = OK;
    for (int i = 0; i < ATTEMPTS; i++) {
        struct transfer t = {.sink = sink, .stop = stop};
        r = i > 0 ? sink->restart(sink->data, err) : OK;
        r = is_ok(r) ? attempt(url, &t, err) : r;
        if (r.code != ERR_UNAVAILABLE || i == ATTEMPTS - 1 || is_stopped(stop)) {
            break;
        }
        pause_ms(PAUSE_MS << i);
    }
    curl_global_cleanup();
    return is_ok(r) ? r : err_wrap(r, err, "%s", url);
}

RESULT node_fetch(const char *url, const struct node_sink *sink, const volatile sig_atomic_t *stop,
                  struct err *err) {
    return strncmp(url, "file://", 7) == 0 ? fetch_file(url + 7, sink, stop, err)
                                           : fetch_web(url, sink, stop, err);
}
