/* Authorizations: see registry_auth.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/registry_auth.h"

#include <string.h>
#include <strings.h>

#include "cli/registry/oci_json.h"
#include "lib/base/limits.h"

#define CLIENT_ID "contrast"

/* ---- the token server's answer ---- */

/* Visible ASCII: what a header can carry (RFC 6750 section 2.1 has less). */
static bool is_token(const char *text) {
    for (const char *c = text; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~') {
            return false;
        }
    }
    return text[0] != '\0';
}

struct result registry_auth_parse_token(struct span answer, struct buf *out, struct err *err) {
    AUTO(oci_json_free)
    json_t *root = NULL;
    const char *token = NULL;
    const char *access = NULL;
    TRY(oci_json_parse(answer, LIMIT_REGISTRY_TOKEN, "token", &root, err));
    TRY(oci_json_text(root, "token", &token, err));
    TRY(oci_json_text(root, "access_token", &access, err));
    token = token != NULL && token[0] != '\0' ? token : access;
    ENSURE(token != NULL && is_token(token), err, MALFORMED,
           "the token server's answer holds no token");
    buf_append_str(out, token);
    return OK;
}

/* ---- the request for it ---- */

static void append_basic(const struct cred *cred, struct buf *out) {
    AUTO(buf_deinit)
    struct buf plain = {0};
    buf_append_span(&plain, buf_span(&cred->user));
    buf_append_str(&plain, ":");
    buf_append_span(&plain, buf_span(&cred->password));
    buf_append_str(out, "Basic ");
    base64_encode(buf_span(&plain), out);
}

static void append_field(const char *name, struct span value, struct buf *out) {
    buf_appendf(out, "%s=", name);
    registry_http_escape(value, out);
}

/* service and scope, as a query or a form has them. */
static void append_scope(const struct registry_auth *who, const struct auth_challenge *challenge,
                         struct buf *out) {
    AUTO(buf_deinit)
    struct buf scope = {0};
    if (challenge->scope[0] != '\0') {
        buf_append_str(&scope, challenge->scope);
    } else {
        buf_appendf(&scope, "repository:%s:pull", who->repository);
    }
    append_field("scope", buf_span(&scope), out);
    if (challenge->service[0] != '\0') {
        buf_append_str(out, "&");
        append_field("service", span_str(challenge->service), out);
    }
}

static RESULT check_realm(const struct registry_auth *who, const char *realm, struct err *err) {
    bool https = strncasecmp(realm, "https://", 8) == 0;
    bool http = strncasecmp(realm, "http://", 7) == 0;
    ENSURE(https || (http && who->is_plain), err, MALFORMED,
           "the registry sends us for a token to '%.200s', which is not https", realm);
    return OK;
}

static RESULT judge_token(const struct registry_auth *who, struct registry_http_answer *a,
                          struct buf *header, struct err *err) {
    if (a->status == 200) {
        buf_append_str(header, "Bearer ");
        return registry_auth_parse_token(buf_span(&a->body), header, err);
    }
    bool refused = a->status == 400 || a->status == 401 || a->status == 403;
    ENSURE(!refused, err, CONFIG,
           "the token server refuses %s for %s (status %ld); log in with `docker login %s`",
           cred_is_empty(who->cred) ? "anonymous access" : "the credentials", who->repository,
           a->status, who->host);
    ENSURE(a->status != 429, err, BUSY, "the token server wants us to wait");
    ENSURE(a->status >= 500, err, MALFORMED, "the token server answers with status %ld", a->status);
    return err_set(err, ERR_UNAVAILABLE, "the token server fails with status %ld", a->status);
}

static RESULT get_token(struct registry_http *http, const struct registry_auth *who,
                        const struct auth_challenge *challenge, struct buf *header,
                        struct registry_http_answer *answer, struct err *err) {
    AUTO(buf_deinit)
    struct buf url = {0};
    AUTO(buf_deinit)
    struct buf form = {0};
    AUTO(buf_deinit)
    struct buf basic = {0};
    bool has_identity = who->cred->identity.size > 0;
    TRY(check_realm(who, challenge->realm, err));
    buf_append_str(&url, challenge->realm);
    if (has_identity) {
        buf_append_str(&form, "grant_type=refresh_token&client_id=" CLIENT_ID "&");
        append_scope(who, challenge, &form);
        buf_append_str(&form, "&");
        append_field("refresh_token", buf_span(&who->cred->identity), &form);
    } else {
        buf_append_str(&url, strchr(challenge->realm, '?') != NULL ? "&" : "?");
        append_scope(who, challenge, &url);
    }
    if (!has_identity && who->cred->user.size > 0) {
        append_basic(who->cred, &basic);
    }
    const struct registry_http_request request = {.url = buf_cstr(&url),
                                                  .accept = "application/json",
                                                  .authorization =
                                                      basic.size > 0 ? buf_cstr(&basic) : NULL,
                                                  .form = has_identity ? buf_cstr(&form) : NULL,
                                                  .limit = LIMIT_REGISTRY_TOKEN};
    TRY(registry_http_do(http, &request, answer, err));
    return judge_token(who, answer, header, err);
}

struct result registry_auth_make(struct registry_http *http, const struct registry_auth *who,
                                 const struct auth_challenge *challenge, struct buf *header,
                                 struct registry_http_answer *answer, struct err *err) {
    ENSURE(challenge->scheme != AUTH_NONE, err, CONFIG,
           "%s wants a kind of log-in that is neither Bearer nor Basic", who->host);
    if (who->cred->bearer.size > 0) {
        buf_append_str(header, "Bearer ");
        buf_append_span(header, buf_span(&who->cred->bearer));
        ENSURE(is_token(buf_cstr(header) + 7), err, CONFIG, "registrytoken is no token");
        return OK;
    }
    if (challenge->scheme == AUTH_BASIC) {
        ENSURE(who->cred->user.size > 0, err, CONFIG,
               "%s wants a user and a password; log in with `docker login %s`", who->host,
               who->host);
        append_basic(who->cred, header);
        return OK;
    }
    return get_token(http, who, challenge, header, answer, err);
}
