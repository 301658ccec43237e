/* Logins: see registry_login.h.
 *
 * Two lists that only grow: of hosts with their credentials, of repositories with their headers.
 * `mutex` guards the lists; an item's own mutex guards what is in it, and is held while it is made,
 * so that others wait for the result. A repository's is taken before a host's.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/registry_login.h"

#include <pthread.h>
#include <string.h>

#include "cli/registry/docker_config.h"
#include "lib/base/mem.h"

struct host_item {
    char *host; /* owned; never changes, as next */
    struct host_item *next;
    pthread_mutex_t mutex;
    bool is_known;
    struct cred cred;
};

struct repository_item {
    char *key; /* "host repository"; owned; never changes, as next */
    struct repository_item *next;
    pthread_mutex_t mutex;
    struct buf header; /* the value of Authorization */
    unsigned generation;
    struct err refusal; /* code is OK: none so far */
};

struct registry_login {
    struct docker_config *docker; /* read only */
    pthread_mutex_t mutex;
    struct host_item *hosts;              /* owned */
    struct repository_item *repositories; /* owned */
};

/* ---- life ---- */

RESULT registry_login_open(const char *docker_folder, struct registry_login **out,
                           struct err *err) {
    struct docker_config *docker = NULL;
    TRY(docker_config_read(docker_folder, &docker, err));
    struct registry_login *l = mem_zalloc(sizeof *l);
    l->docker = docker;
    CHECK(pthread_mutex_init(&l->mutex, NULL) == 0);
    *out = l;
    return OK;
}

static void free_hosts(struct host_item *item) {
    while (item != NULL) {
        struct host_item *next = item->next;
        pthread_mutex_destroy(&item->mutex);
        cred_deinit(&item->cred);
        mem_free(item->host);
        mem_free(item);
        item = next;
    }
}

static void free_repositories(struct repository_item *item) {
    while (item != NULL) {
        struct repository_item *next = item->next;
        pthread_mutex_destroy(&item->mutex);
        buf_deinit(&item->header);
        mem_free(item->key);
        mem_free(item);
        item = next;
    }
}

void registry_login_close(struct registry_login *l) {
    if (l == NULL) {
        return;
    }
    free_hosts(l->hosts);
    free_repositories(l->repositories);
    docker_config_free(l->docker);
    pthread_mutex_destroy(&l->mutex);
    mem_free(l);
}

/* ---- items ---- */

static struct host_item *find_host(struct registry_login *l, const char *host) {
    pthread_mutex_lock(&l->mutex);
    struct host_item *item = l->hosts;
    while (item != NULL && strcmp(item->host, host) != 0) {
        item = item->next;
    }
    if (item == NULL) {
        item = mem_zalloc(sizeof *item);
        item->host = mem_strdup(host);
        CHECK(pthread_mutex_init(&item->mutex, NULL) == 0);
        item->next = l->hosts;
        l->hosts = item;
    }
    pthread_mutex_unlock(&l->mutex);
    return item;
}

static struct repository_item *find_repository(struct registry_login *l,
                                               const struct registry_login_place *at) {
    AUTO(buf_deinit)
    struct buf key = {0};
    buf_appendf(&key, "%s %s", at->host, at->repository);
    pthread_mutex_lock(&l->mutex);
    struct repository_item *item = l->repositories;
    while (item != NULL && strcmp(item->key, buf_cstr(&key)) != 0) {
        item = item->next;
    }
    if (item == NULL) {
        item = mem_zalloc(sizeof *item);
        item->key = mem_strdup(buf_cstr(&key));
        CHECK(pthread_mutex_init(&item->mutex, NULL) == 0);
        item->next = l->repositories;
        l->repositories = item;
    }
    pthread_mutex_unlock(&l->mutex);
    return item;
}

static void copy_cred(const struct cred *from, struct cred *to) {
    buf_append_span(&to->user, buf_span(&from->user));
    buf_append_span(&to->password, buf_span(&from->password));
    buf_append_span(&to->identity, buf_span(&from->identity));
    buf_append_span(&to->bearer, buf_span(&from->bearer));
}

static RESULT get_cred(struct registry_login *l, const char *host, struct cred *out,
                       struct err *err) {
    struct result r = OK;
    struct host_item *item = find_host(l, host);
    pthread_mutex_lock(&item->mutex);
    if (!item->is_known) {
        r = docker_config_cred(l->docker, host, &item->cred, err);
        item->is_known = is_ok(r);
    }
    if (is_ok(r)) {
        copy_cred(&item->cred, out);
    }
    pthread_mutex_unlock(&item->mutex);
    return r;
}

/* ---- headers ---- */

unsigned registry_login_get(struct registry_login *l, const struct registry_login_place *at,
                            struct buf *header) {
    struct repository_item *item = find_repository(l, at);
    buf_clear(header);
    pthread_mutex_lock(&item->mutex);
    unsigned generation = item->generation;
    buf_append_span(header, buf_span(&item->header));
    pthread_mutex_unlock(&item->mutex);
    return generation;
}

/* The item is locked. */
static RESULT make_header(struct registry_login *l, struct registry_http *http,
                          const struct registry_login_place *at,
                          const struct auth_challenge *challenge, struct repository_item *item,
                          struct registry_http_answer *answer, struct err *err) {
    AUTO(cred_deinit)
    struct cred cred = {0};
    AUTO(buf_deinit)
    struct buf header = {0};
    TRY(get_cred(l, at->host, &cred, err));
    const struct registry_auth who = {at->host, at->repository, &cred, at->is_plain};
    TRY(registry_auth_make(http, &who, challenge, &header, answer, err));
    buf_clear(&item->header);
    buf_append_span(&item->header, buf_span(&header));
    item->generation++;
    return OK;
}

RESULT registry_login_renew(struct registry_login *l, struct registry_http *http,
                            const struct registry_login_place *at,
                            const struct auth_challenge *challenge, unsigned seen,
                            struct buf *header, struct registry_http_answer *answer,
                            struct err *err) {
    struct result r = OK;
    struct err why = {0};
    struct repository_item *item = find_repository(l, at);
    pthread_mutex_lock(&item->mutex);
    if (item->refusal.code != ERR_OK) {
        r = err_set(&why, item->refusal.code, "%s", item->refusal.text);
    } else if (item->generation == seen) {
        r = make_header(l, http, at, challenge, item, answer, &why);
    }
    if (r.code == ERR_CONFIG) {
        item->refusal = why;
    }
    if (is_ok(r)) {
        buf_clear(header);
        buf_append_span(header, buf_span(&item->header));
    }
    pthread_mutex_unlock(&item->mutex);
    return is_ok(r) ? OK : err_set(err, why.code, "%s", why.text);
}
