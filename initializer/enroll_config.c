/* Enroll config: see enroll_config.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "initializer/enroll_config.h"

#include <stdio.h>
#include <string.h>

#include "attest/issuer.h"
#include "lib/base/setting.h"
#include "lib/net/net.h"

const char enroll_config_help[] =
    "Environment:\n"
    "  COORDINATOR_HOST            mesh API of the Coordinator: host or host:port (port 7777)\n"
    "  CONTRAST_OWNER_KEY_DIGESTS  SHA-256 of the owners' SubjectPublicKeyInfo, 64 hex each,\n"
    "                              comma-separated; another owner's Coordinator is refused\n"
    "  CONTRAST_PERMITTED_ROOTS    SHA-256 of the SubjectPublicKeyInfo of simulated roots that a\n"
    "                              manifest may name (default: none: AMD's roots alone)\n"
    "  CONTRAST_ISSUER             where attestation reports come from: auto, configfs:[/DIR],\n"
    "                              sev-guest:[/PATH] or unix:/PATH (default: auto, the kernel)\n"
    "  CONTRAST_SNP_SOCKET         without CONTRAST_ISSUER: socket of a simulated machine\n"
    "  CONTRAST_DIR                where key, certificates and secret go (default: /contrast)\n"
    "  CONTRAST_RENEW              true: stays and renews the certificate (default: false)\n"
    "  CONTRAST_RENEW_CHECK_S      with it: seconds between two looks whether the Coordinator\n"
    "                              has another manifest or CA, 1 to 86400 (default: 60)\n"
    "  CONTRAST_TERMINATION_LOG    file that gets the reason of a denial (default: none)\n"
    "  CONTRAST_LOG_LEVEL          debug, info, warn or error (default: info)\n";

/* "host", "host:port", "[2001:db8::1]" or "[2001:db8::1]:port". */
static RESULT read_host(const char *(*get)(const char *), struct enroll_config *c,
                        struct err *err) {
    const char *value = get("COORDINATOR_HOST");
    char text[LIMIT_ADDRESS + 8];
    ENSURE(value != NULL && value[0] != 0, err, CONFIG,
           "COORDINATOR_HOST is not set: want the Coordinator's host or host:port");
    size_t size = strlen(value);
    ENSURE(size <= LIMIT_ADDRESS, err, CONFIG, "COORDINATOR_HOST: %zu bytes, limit %d", size,
           LIMIT_ADDRESS);
    bool has_port = strchr(value, ':') != NULL && value[size - 1] != ']';
    int n = has_port ? snprintf(text, sizeof text, "%s", value)
                     : snprintf(text, sizeof text, "%s:%d", value, ENROLL_PORT);
    struct result r = n > 0 && (size_t)n < sizeof text
                          ? net_address_parse(text, c->host, &c->port, NULL)
                          : err_set(NULL, ERR_INVALID, "too long");
    return is_ok(r) ? r
                    : err_set(err, ERR_CONFIG, "COORDINATOR_HOST: want host or host:port, got '%s'",
                              value);
}

static RESULT read_trust(const char *(*get)(const char *), struct enroll_config *c,
                         struct err *err) {
    const char *owners = get("CONTRAST_OWNER_KEY_DIGESTS");
    const char *roots = get("CONTRAST_PERMITTED_ROOTS");
    ENSURE(owners != NULL && owners[0] != 0, err, CONFIG,
           "CONTRAST_OWNER_KEY_DIGESTS is not set: run `contrast generate` on the pod's YAML, it "
           "adds the variable");
    TRY(setting_digests("CONTRAST_OWNER_KEY_DIGESTS", owners, c->owner_digests, LIMIT_OWNER_KEYS,
                        &c->owner_count, err));
    return setting_digests("CONTRAST_PERMITTED_ROOTS", roots == NULL ? "" : roots,
                           c->permitted_roots, LIMIT_REFERENCE_VALUES, &c->permitted_root_count,
                           err);
}

static RESULT read_paths(const char *(*get)(const char *), struct enroll_config *c,
                         struct err *err) {
    const char *dir = get("CONTRAST_DIR");
    const char *log = get("CONTRAST_TERMINATION_LOG");
    TRY(issuer_spec_read(get, c->issuer, sizeof c->issuer, err));
    TRY(setting_text("CONTRAST_DIR", dir == NULL ? "/contrast" : dir, c->dir, sizeof c->dir, err));
    return log == NULL || log[0] == 0
               ? OK
               : setting_text("CONTRAST_TERMINATION_LOG", log, c->termination_log,
                              sizeof c->termination_log, err);
}

static RESULT read_renewal(const char *(*get)(const char *), struct enroll_config *c,
                           struct err *err) {
    const char *renew = get("CONTRAST_RENEW");
    const char *check = get("CONTRAST_RENEW_CHECK_S");
    renew = renew == NULL ? "false" : renew;
    c->is_renewing = strcmp(renew, "true") == 0;
    ENSURE(c->is_renewing || strcmp(renew, "false") == 0, err, CONFIG,
           "CONTRAST_RENEW: want true or false, got '%.40s'", renew);
    return setting_number("CONTRAST_RENEW_CHECK_S", check == NULL ? "60" : check, 1,
                          LIMIT_RENEWAL_CHECK_S, &c->check_s, err);
}

struct result enroll_config_read(const char *(*get)(const char *name), struct enroll_config *out,
                                 struct err *err) {
    struct enroll_config c = {.log_level = LOG_INFO};
    const char *level = get("CONTRAST_LOG_LEVEL");
    TRY(read_host(get, &c, err));
    TRY(read_trust(get, &c, err));
    TRY(read_paths(get, &c, err));
    TRY(read_renewal(get, &c, err));
    if (level != NULL) {
        TRY(err_wrap(log_level_parse(level, &c.log_level, err), err, "CONTRAST_LOG_LEVEL"));
    }
    *out = c;
    return OK;
}
