/* contrast-node-fetch URL: a file of the web on standard output.
 *
 *   libcurl -> standard output; "CODE text" as the last line of standard error, exit code of CODE
 *
 * A process of its own: what speaks TLS and HTTP with a server on the network is not the process
 * that may write to the host. Started by root it becomes nobody before the first byte. It also
 * keeps libcurl's 6 MiB out of an installer that has nothing to fetch.
 *
 * Servers are verified by the image's authorities, or those of the file SSL_CERT_FILE, which nobody
 * must be able to read. https alone, also after redirects; http:// only when the URL says so. A
 * server that sends less than 1 KiB/s for 30 s counts as torn. Nothing is tried again here: the
 * bytes are out already.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <curl/curl.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/bytes.h"
#include "lib/base/limits.h"

#define STALL_BYTES 1024L /* a second */
#define STALL_SECONDS 30L
#define CONNECT_SECONDS 20L
#define NOBODY 65534

struct transfer {
    uint64_t size;      /* bytes that came */
    struct err failure; /* of the output; code OK: none */
};

static RESULT write_all(const char *data, size_t size, struct err *err) {
    size_t done = 0;
    while (done < size) {
        ssize_t n = write(STDOUT_FILENO, data + done, size - done);
        ENSURE(n >= 0 || errno == EINTR, err, IO, "standard output: %s", strerror(errno));
        done += n > 0 ? (size_t)n : 0;
    }
    return OK;
}

static size_t on_bytes(char *data, size_t one, size_t size, void *user) {
    (void)one;
    struct transfer *t = user;
    t->size += size;
    if (t->size > LIMIT_NODE_FILE) {
        err_ignore(err_set(&t->failure, ERR_TOO_LARGE, "more than %" PRId64 " bytes",
                           (int64_t)LIMIT_NODE_FILE),
                   "told after the transfer");
        return 0;
    }
    return is_ok(write_all(data, size, &t->failure)) ? size : 0;
}

static bool set_up(CURL *curl, const char *url, struct transfer *t, char *text) {
    const char *authorities = getenv("SSL_CERT_FILE");
    if (authorities != NULL && curl_easy_setopt(curl, CURLOPT_CAINFO, authorities) != CURLE_OK) {
        return false;
    }
    const char *protocols = strncmp(url, "https://", 8) == 0 ? "https" : "http,https";
    return curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocols) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, protocols) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 5L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, t) == CURLE_OK;
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

static RESULT transfer(const char *url, struct err *err) {
    CURL *curl = curl_easy_init();
    char text[CURL_ERROR_SIZE] = "";
    ENSURE(curl != NULL, err, INTERNAL, "libcurl does not start");
    struct transfer t = {0};
    CURLcode code = set_up(curl, url, &t, text) ? curl_easy_perform(curl) : CURLE_FAILED_INIT;
    enum err_code class = code_of(curl, code);
    curl_easy_cleanup(curl);
    if (t.failure.code != ERR_OK) {
        return err_set(err, t.failure.code, "%s", t.failure.text);
    }
    return code == CURLE_OK
               ? OK
               : err_set(err, class, "%s", text[0] != '\0' ? text : curl_easy_strerror(code));
}

static RESULT drop_privileges(struct err *err) {
    if (geteuid() != 0) {
        return OK;
    }
    bool is_dropped = setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
                      setresuid(NOBODY, NOBODY, NOBODY) == 0;
    ENSURE(is_dropped, err, IO, "cannot become nobody: %s", strerror(errno));
    return OK;
}

static RESULT fetch(int argc, char **argv, struct err *err) {
    ENSURE(argc == 2 && strncmp(argv[1], "http", 4) == 0, err, USAGE,
           "usage: contrast-node-fetch URL, which begins with https:// or http://; the installer "
           "runs it");
    TRY(drop_privileges(err));
    ENSURE(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK, err, INTERNAL,
           "libcurl does not start");
    struct result r = transfer(argv[1], err);
    curl_global_cleanup();
    return r;
}

int main(int argc, char **argv) {
    struct err err = {0};
    struct result r = fetch(argc, argv, &err);
    if (!is_ok(r)) {
        (void)fprintf(stderr, "%s %s\n", err_name(r.code), err.text);
    }
    return err_exit_code(r.code);
}
