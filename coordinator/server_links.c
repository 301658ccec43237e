/* Server, links: to whom this replica speaks, and what it demands of them first. See server.h.
 *
 *   peers wanted -> evidence judged by a session thread -> link, with the key that it names
 *
 * What cannot be decided now is judged again (rejudge.h). A refusal changes no replicated state: it
 * raises an alarm at all members. A joiner judges everybody whom it finds, and the whole chain of
 * manifests; one that finds something false there ends.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "coordinator/server_internal.h"
#include "lib/base/log.h"
#include "lib/crypto/digest.h"

static bool is_among(const uint64_t *ids, size_t count, uint64_t id) {
    for (size_t i = 0; i < count; i++) {
        if (ids[i] == id) {
            return true;
        }
    }
    return false;
}

static void remember_judged(struct server *s, uint64_t id) {
    if (is_among(s->judged, s->judged_count, id)) {
        return;
    }
    if (s->judged_count == LIMIT_MEMBERS) { /* the oldest is long gone */
        memmove(s->judged, s->judged + 1, (LIMIT_MEMBERS - 1) * sizeof s->judged[0]);
        s->judged_count--;
    }
    s->judged[s->judged_count++] = id;
}

static void open_link(struct server *s, uint64_t id, const char *address, struct span spki) {
    char host[LIMIT_ADDRESS + 1];
    uint16_t port = 0;
    struct err err;
    struct result r = net_address_parse(address, host, &port, &err);
    r = is_ok(r) ? links_set_peer(s->links, id, host, port, spki, &err) : r;
    if (!is_ok(r)) {
        log_error("link to replica %llu at %s: %s", (unsigned long long)id, address, err.text);
    }
}

/* A founder judged the others before it started. Everybody who came later is judged by a session
 * thread first, and by a joiner so is everybody: its links at first are those that the member who
 * admitted it named, and that member it had judged. */
static bool needs_judgement(const struct server *s, uint64_t id) {
    const struct core *core = replica_core(s->replica);
    const struct core_member *m = core_find_member(core, id);
    if (core_generation(core) == 0 || is_among(s->judged, s->judged_count, id) ||
        !replica_state_is_member(replica_state_of(s->replica))) {
        return false;
    }
    return m == NULL ? replica_find_member(s->replica, id) != NULL
                     : s->is_joiner || m->admitted_index > 1;
}

/* The document, with the log's certificate where it has none. */
static void complete(const struct server *s, struct span document, struct buf *out) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct completion c;
    bool lacks = is_ok(completion_read(document, &arena, &c, NULL)) && !c.has_vek;
    for (size_t i = 0; lacks && i < c.key_count; i++) {
        const struct core_vek *vek = core_find_vek(replica_core(s->replica), &c.keys[i]);
        if (vek != NULL && is_ok(completion_fill(document, vek, (struct span){0}, out, NULL))) {
            return;
        }
    }
    buf_append_span(out, document);
}

/* Also one that left the table and is still to be told. */
static bool is_founder(const struct core *core, uint64_t id) {
    const struct core_member *m = core_find_member(core, id);
    size_t count = 0;
    const struct entry_member *founders = core_founders(core, &count);
    bool is_listed = false;
    for (size_t i = 0; i < count; i++) {
        is_listed = is_listed || founders[i].id == id;
    }
    return m != NULL ? m->admitted_index <= 1 : is_listed;
}

/* A founder's document answers the hash of the first manifest (session_found.c), any other one the
 * cluster's id. */
static void append_nonce(const struct server *s, uint64_t id, struct buf *out) {
    const struct core *core = replica_core(s->replica);
    size_t count = 0;
    const struct core_record *records = core_records(core, &count);
    uint8_t nonce[32];
    memcpy(nonce, core_cluster(core), sizeof nonce);
    if (is_founder(core, id) && count > 0) {
        sha256(records[0].manifest, nonce);
    }
    buf_append(out, nonce, sizeof nonce);
}

static void ask_judgement(struct server *s, uint64_t id) {
    AUTO(buf_deinit)
    struct buf completed = {0};
    const struct entry_member *m = replica_find_member(s->replica, id);
    struct letter *l = letter_new(WORKER_JUDGE, 0);
    complete(s, m->evidence, &completed);
    buf_append_u64be(&l->bytes, id);
    append_nonce(s, id, &l->bytes);
    buf_append_span(&l->bytes, buf_span(&completed));
    worker_post(s->workers[0], l);
}

/* Of the admission only as much was judged as the history had then: all that the first state of
 * this joiner holds is, once. */
static void ask_chain(struct server *s) {
    bool is_in = replica_state_is_member(replica_state_of(s->replica));
    if (s->is_joiner && !s->is_chain_asked && is_in &&
        core_generation(replica_core(s->replica)) > 0) {
        s->is_chain_asked = true;
        worker_post(s->workers[0], letter_new(WORKER_CHAIN, 0));
    }
}

void server__take_chain(struct server *s, const struct letter *l) {
    if (l->code != ERR_OK) {
        struct err why = {.code = l->code};
        snprintf(why.text, sizeof why.text, "the history that was joined: %.900s", l->text);
        replica_reject(s->replica, &why);
    }
}

void server__send(void *data, uint64_t peer, uint8_t type, struct span body) {
    struct server *s = data;
    if (s->links != NULL) {
        err_ignore(links_send(s->links, peer, type, body, NULL), "consensus sends it again");
    }
}

static void on_link_frame(void *data, uint64_t peer, uint8_t type, struct span body) {
    struct server *s = data;
    replica_receive(s->replica, peer, type, body);
    server__arm(s);
}

static void on_link_up(void *data, uint64_t peer, uint64_t version) {
    struct server *s = data;
    log_info("link to replica %llu is up, entry version %llu", (unsigned long long)peer,
             (unsigned long long)version);
    replica_link(s->replica, peer, true);
    server__arm(s);
}

static void on_link_down(void *data, uint64_t peer, bool is_gone) {
    struct server *s = data;
    log_info("link to replica %llu is down%s", (unsigned long long)peer,
             is_gone ? ": its process has ended, or refuses" : "");
    replica_link(s->replica, peer, false);
    if (is_gone) {
        replica_link_gone(s->replica, peer);
    }
    server__arm(s);
}

static void on_link_refused(void *data, uint64_t peer, const struct err *why) {
    (void)data;
    log_debug("link, replica %llu: %s", (unsigned long long)peer, why->text);
}

/* A new epoch: whoever belonged to the one before is a stranger now. */
static void end_links(struct server *s) {
    if (s->links != NULL) {
        links_close(s->links, NULL, NULL);
        s->links = NULL;
    }
    s->wanted_count = 0;
    s->judged_count = 0;
    s->is_joiner = false;
    s->is_chain_asked = false;
    s->undecided = (struct rejudge){0};
}

/* The Raft port opens when the cluster is known: before that nobody could be let in. */
static bool start_links(struct server *s, const uint8_t cluster[32]) {
    uint64_t epoch = replica_epoch(s->replica);
    if (s->links != NULL && s->links_epoch == epoch) {
        return true;
    }
    end_links(s);
    s->links_epoch = epoch;
    struct links_config config = {
        .loop = &s->loop,
        .host = s->identity.host,
        .id = s->identity.id,
        .epoch = epoch,
        .version = entry_version,
        .key = &s->identity.key,
        .certificate = buf_span(&s->certificate),
        .listen_host = s->config->listen,
        .listen_port = s->config->raft_port,
        .calls = {on_link_frame, on_link_up, on_link_down, on_link_refused},
        .data = s,
    };
    memcpy(config.cluster, cluster, sizeof config.cluster);
    struct err err;
    if (!is_ok(links_new(&config, &s->links, &err))) {
        s->is_gone = true;
        s->why = err;
        uv_stop(&s->loop);
        return false;
    }
    return true;
}

void server__peers(void *data, const uint8_t cluster[32], const struct replica_peer *peers,
                   size_t count) {
    struct server *s = data;
    if (!start_links(s, cluster)) {
        return;
    }
    for (size_t i = 0; i < s->wanted_count; i++) {
        bool is_kept = false;
        for (size_t k = 0; k < count; k++) {
            is_kept = is_kept || peers[k].id == s->wanted[i];
        }
        if (!is_kept) {
            links_remove_peer(s->links, s->wanted[i]);
            rejudge_drop(&s->undecided, s->wanted[i]);
        }
    }
    bool is_joining = replica_state_of(s->replica) == REPLICA_JOINING;
    s->is_joiner = s->is_joiner || is_joining;
    ask_chain(s);
    s->wanted_count = 0;
    for (size_t i = 0; i < count && s->wanted_count < LIMIT_MEMBERS; i++) {
        s->wanted[s->wanted_count++] = peers[i].id;
        if (needs_judgement(s, peers[i].id)) {
            ask_judgement(s, peers[i].id);
        } else {
            if (!is_joining) {
                remember_judged(s, peers[i].id);
            }
            open_link(s, peers[i].id, peers[i].address, peers[i].spki);
        }
    }
}

/* Nothing false was found: that may change with the next list or certificate, or the manifest. */
static bool is_undecided(enum err_code code) {
    return code == ERR_UNVERIFIABLE || code == ERR_NOT_FOUNDED;
}

/* It was a member before this replica was: then this replica is where it should not be. */
static bool is_elder(const struct server *s, uint64_t id) {
    const struct core *core = replica_core(s->replica);
    const struct core_member *m = core_find_member(core, id);
    const struct core_member *own = core_find_member(core, s->identity.id);
    return s->is_joiner && m != NULL && own != NULL && m->admitted_index < own->admitted_index;
}

static void refuse_member(struct server *s, uint64_t id, const char *name, const struct letter *l) {
    rejudge_drop(&s->undecided, id);
    if (is_elder(s, id)) {
        struct err why = {.code = l->code};
        snprintf(why.text, sizeof why.text, "the evidence of member %s is refused here: %.800s",
                 name, l->text);
        replica_reject(s->replica, &why);
        return;
    }
    links_remove_peer(s->links, id);
    replica_alarm(s->replica, id, err_name(l->code), l->text);
}

static void put_off(struct server *s, uint64_t id, const char *name, const struct letter *l) {
    bool is_first = rejudge_put(&s->undecided, s->identity.host, id);
    log_at(is_first ? LOG_ERROR : LOG_INFO,
           "member %s id=%llu was admitted, but its evidence cannot be verified here yet: %s; "
           "judged again when a list or certificate comes, at the latest in %d s",
           name, (unsigned long long)id, l->text, LIMIT_REJUDGE_MS / 1000);
    if (is_first) {
        replica_alarm(s->replica, id, err_name(l->code), l->text);
    }
}

void server__take_judgement(struct server *s, const struct letter *l) {
    uint64_t id = load_u64be(l->bytes.data);
    const struct entry_member *m = replica_find_member(s->replica, id);
    bool is_told = core_find_member(replica_core(s->replica), id) == NULL;
    if (m == NULL || s->links == NULL) {
        rejudge_drop(&s->undecided, id);
    } else if (l->code == ERR_OK) {
        rejudge_drop(&s->undecided, id);
        remember_judged(s, id);
        open_link(s, id, m->address, m->spki);
    } else if (is_undecided(l->code) || is_told) { /* told: this replica's manifest may be behind */
        put_off(s, id, m->name, l);
    } else {
        refuse_member(s, id, m->name, l);
    }
}

void server__judge_again(struct server *s) {
    uint64_t id = 0;
    while (rejudge_take(&s->undecided, s->identity.host, &id)) {
        if (needs_judgement(s, id)) {
            ask_judgement(s, id);
        } else {
            rejudge_drop(&s->undecided, id);
        }
    }
}
