/* A world for tests of the client: a server over loopback that holds a genuine attestation and may
 * lie about everything else, and a client that judges it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CLIENT_WORLD_H
#define CONTRAST_CLIENT_WORLD_H

#include "attest/client/client.h"
#include "attest/test/snp_fixture.h"

#define GENERATIONS 3

/* What the server does in place of its duty. */
enum lie {
    HONEST,
    WRONG_FRAME,
    ERROR_FRAME,
    HANG_UP,
    NO_EVIDENCE_BYTES,
    EMPTY_PAGE,
    WRONG_PAGE,
    OTHER_CLUSTER_LATER,
    TOO_MANY_GENERATIONS,
    HISTORY_LIES_COUNT,
    NO_RECOVERIES,
    EMPTY_RECOVERIES,
    WRONG_RECOVERIES,
    TOO_MANY_RECOVERIES,
    RECOVERED_MEANWHILE, /* a recovery more from the second page on */
    OTHER_FRAME_RECOVERIES,
    GROWS_MEANWHILE, /* a generation more from the second page on */
};

struct history {
    struct key owner;
    struct buf owner_spki;
    uint8_t owner_digest[1][32];
    struct buf json[GENERATIONS];
    struct buf signatures[GENERATIONS];
    uint8_t heads[GENERATIONS][32];
    uint8_t cluster[32];
    struct key share_owner;
    struct buf share_pkcs1;
};

#define RECOVERIES 3 /* at the newest generation, to the epochs 2, 4 and 6 */

struct world {
    struct snp_fixture machine;
    struct history history;
    uv_loop_t loop;
    struct key server_key;
    struct tls_context *server_tls;
    struct key client_key;
    struct tls_context *client_tls;
    struct net_listener *listener;
    /* The server of this test */
    enum lie lie;
    uint64_t generations; /* shown */
    size_t page_size;     /* records a page */
    unsigned pages;       /* sent */
    const char *root_ca;
    unsigned recovery_pages; /* sent */
    uint64_t epoch;          /* said on each page of the history */
    size_t recovered;        /* recoveries shown */
    struct api_recovery recoveries[RECOVERIES];
    struct api_recovery_signature signatures[RECOVERIES];
    struct buf signature_bytes[RECOVERIES];
    struct replica_statement statement;
    uint8_t host_data[32];
    /* What the client saw */
    struct client *client;
    struct client_trust trust;
    bool is_judging; /* on_open judges */
    unsigned open_count;
    unsigned frame_count;
    unsigned close_count;
    struct client_verdict verdict;
    struct result judged;
    struct err judged_err;
    struct err why;
    size_t shown_count;
};

/* Makes and signs manifest `i` of the history anew. */
void client_world_sign(struct world *w, size_t i);
/* The world after `count` recoveries, all of them shown and attested. */
void client_world_recover(struct world *w, size_t count);
/* For a group of tests: machine, keys and history. */
int client_world_init(void **state);
int client_world_deinit(void **state);
/* For one test. */
int client_world_set_up(void **state);
int client_world_tear_down(void **state);
void client_world_listen(struct world *w);
/* One session from client_open to on_close. */
void client_world_run(struct world *w);
/* The session never opens; on_close says why. */
void client_world_never_opens(struct world *w, enum lie lie, enum err_code code, const char *text);
/* The session opens, and the judgement refuses it. */
void client_world_refused(struct world *w, enum err_code code, const char *text);
/* The session opens, and everything is as the server has it. */
void client_world_accepted(struct world *w);
struct client_config client_world_config(struct world *w); /* to where it listens */

#endif
