/* Docker's config.json: see docker_config.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/docker_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/registry/oci_json.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define HUB "docker.io"
/* Docker Hub's key, for historical reasons of Docker. */
#define HUB_KEY "https://index.docker.io/v1/"

struct docker_config {
    json_t *root; /* owned; NULL = no file */
};

void docker_config_free(struct docker_config *c) {
    if (c != NULL) {
        json_decref(c->root);
        mem_free(c);
    }
}

static struct docker_config *new_config(json_t *root) {
    struct docker_config *c = mem_alloc(sizeof *c);
    c->root = root;
    return c;
}

static RESULT check_shape(const json_t *root, struct err *err) {
    static const char *const maps[] = {"auths", "credHelpers"};
    const char *store = NULL;
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        const json_t *map = json_object_get(root, maps[i]);
        ENSURE(map == NULL || json_is_object(map), err, CONFIG, "'%s' is not an object", maps[i]);
    }
    struct result r = oci_json_text(root, "credsStore", &store, NULL);
    ENSURE(is_ok(r), err, CONFIG, "'credsStore' is not a text");
    return OK;
}

struct result docker_config_parse(struct span text, struct docker_config **out, struct err *err) {
    json_t *root = NULL;
    struct err why = {0};
    struct result r = oci_json_parse(text, LIMIT_REGISTRY_CONFIG_FILE, "credentials", &root, &why);
    ENSURE(is_ok(r), err, CONFIG, "%s", why.text);
    r = check_shape(root, err);
    if (!is_ok(r)) {
        json_decref(root);
        return r;
    }
    *out = new_config(root);
    return OK;
}

static void find_file(const char *folder, char *out, size_t size) {
    const char *home = getenv("HOME");
    const char *set = getenv("DOCKER_CONFIG");
    if (folder == NULL && set != NULL && set[0] != '\0') {
        folder = set;
    }
    if (folder != NULL) {
        snprintf(out, size, "%s/config.json", folder);
    } else {
        snprintf(out, size, "%s/.docker/config.json", home != NULL ? home : "");
    }
}

struct result docker_config_read(const char *folder, struct docker_config **out, struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    char path[LIMIT_PATH + 1];
    find_file(folder, path, sizeof path);
    struct result r = file_read(path, LIMIT_REGISTRY_CONFIG_FILE, &text, err);
    if (r.code == ERR_NOT_FOUND) {
        *out = new_config(NULL);
        return OK;
    }
    TRY(r);
    return err_wrap(docker_config_parse(buf_span(&text), out, err), err, "%s", path);
}

/* ---- looking up ---- */

/* The host of a key: without scheme and path. */
static bool is_key_of(const char *key, const char *host) {
    const char *scheme = strstr(key, "://");
    const char *start = scheme != NULL ? scheme + 3 : key;
    size_t n = strcspn(start, "/");
    if (strcmp(host, HUB) == 0) {
        return (n == 15 && strncasecmp(start, "index.docker.io", n) == 0) ||
               (n == 9 && strncasecmp(start, HUB, n) == 0) ||
               (n == 20 && strncasecmp(start, "registry-1.docker.io", n) == 0);
    }
    return strlen(host) == n && strncasecmp(start, host, n) == 0;
}

/* The exact key first: a file may have two spellings. */
static json_t *find_key(json_t *map, const char *host) {
    const char *exact = strcmp(host, HUB) == 0 ? HUB_KEY : host;
    json_t *found = json_object_get(map, exact);
    const char *key;
    json_t *value;
    if (found != NULL) {
        return found;
    }
    json_object_foreach(map, key, value) {
        if (is_key_of(key, host)) {
            return value;
        }
    }
    return NULL;
}

/* base64("user:password") */
static RESULT split_auth(const char *auth, struct cred *out, struct err *err) {
    AUTO(buf_deinit)
    struct buf plain = {0};
    struct result r = base64_decode(span_str(auth), &plain, NULL);
    const uint8_t *colon = is_ok(r) && plain.size > 0 ? memchr(plain.data, ':', plain.size) : NULL;
    ENSURE(colon != NULL && memchr(plain.data, '\0', plain.size) == NULL, err, CONFIG,
           "'auth' is not the base64 of user:password");
    size_t n = (size_t)(colon - plain.data);
    buf_append(&out->user, plain.data, n);
    buf_append(&out->password, colon + 1, plain.size - n - 1);
    return OK;
}

static RESULT read_entry(const json_t *entry, struct cred *out, struct err *err) {
    const char *auth = NULL;
    const char *identity = NULL;
    const char *bearer = NULL;
    const char *user = NULL;
    const char *password = NULL;
    ENSURE(json_is_object(entry), err, CONFIG, "not an object");
    TRY(oci_json_text(entry, "auth", &auth, err));
    TRY(oci_json_text(entry, "identitytoken", &identity, err));
    TRY(oci_json_text(entry, "registrytoken", &bearer, err));
    TRY(oci_json_text(entry, "username", &user, err));
    TRY(oci_json_text(entry, "password", &password, err));
    buf_append_str(&out->identity, identity != NULL ? identity : "");
    buf_append_str(&out->bearer, bearer != NULL ? bearer : "");
    if (auth != NULL && auth[0] != '\0') {
        return split_auth(auth, out, err);
    }
    if (user != NULL && password != NULL) {
        buf_append_str(&out->user, user);
        buf_append_str(&out->password, password);
    }
    return OK;
}

struct result docker_config_find(const struct docker_config *c, const char *host,
                                 const char **helper, struct cred *out, struct err *err) {
    const json_t *chosen = find_key(json_object_get(c->root, "credHelpers"), host);
    const char *store = json_string_value(json_object_get(c->root, "credsStore"));
    const json_t *entry = find_key(json_object_get(c->root, "auths"), host);
    ENSURE(chosen == NULL || json_is_string(chosen), err, CONFIG,
           "credHelpers: '%.100s': not a text", host);
    *helper = chosen != NULL                      ? json_string_value(chosen)
              : store != NULL && store[0] != '\0' ? store
                                                  : NULL;
    if (*helper != NULL || entry == NULL) {
        return OK;
    }
    struct cred found = {0};
    struct err why = {0};
    struct result r = read_entry(entry, &found, &why);
    if (!is_ok(r)) {
        cred_deinit(&found);
        return err_set(err, ERR_CONFIG, "Docker's config.json: auths: '%.100s': %s", host,
                       why.text);
    }
    *out = found;
    return OK;
}

struct result docker_config_cred(const struct docker_config *c, const char *host, struct cred *out,
                                 struct err *err) {
    const char *helper = NULL;
    TRY(docker_config_find(c, host, &helper, out, err));
    if (helper == NULL) {
        return OK;
    }
    const char *server = strcmp(host, HUB) == 0 ? HUB_KEY : host;
    return err_wrap(cred_helper_get(helper, server, 0, out, err), err, "credentials for %.100s",
                    host);
}
