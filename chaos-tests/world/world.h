/* World: the whole service in one process, in virtual time, from one seed.
 *
 *   seed -> plan of faults  -> hosts, links, clocks, security processors, AMD's key service
 *        -> programs: coordinators (server_run), initializers and sidecars (renewal), owners and
 *           verifiers (`contrast set`, `contrast verify`, `contrast recover`), and strangers
 *        -> checks after every event and at rest
 *
 * What is real: every line of these programs, from the session protocol to the files of a
 * workspace. What is played (chaos-tests/played): libuv and sockets, TLS records, clocks and
 * randomness, the machines that sign reports, AMD's key service, public-key arithmetic.
 *
 * One seed is one run, bit for bit: the digest of everything that happened says so.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_WORLD_H
#define CONTRAST_WORLD_H

#include "chaos-tests/played/machine_room.h"
#include "chaos-tests/played/played.h"
#include "chaos-tests/sim/sim_chance.h"
#include "cli/cli.h"
#include "coordinator/config.h"
#include "coordinator/server.h"
#include "initializer/enroll_config.h"
#include "lib/base/bytes.h"

#define WORLD_PODS 6     /* five founders and one that stands by, at most */
#define WORLD_OWNERS 2   /* people with an owner key; each has a share key, too */
#define WORLD_SHARES 3   /* share owners; two of them bring a deployment back */
#define WORLD_CLIENTS 48 /* initializers, sidecars and verifiers of one run */
#define WORLD_FAULTS 48
#define WORLD_ISSUES 1024
#define WORLD_TEXT 512
#define WORLD_CHAOS_MS 12000 /* of contrast-world and its test */
#define WORLD_REST_MS 90000

/* Hosts: one for each pod, then these. */
enum world_host {
    WORLD_HOST_SPARE = WORLD_PODS,
    WORLD_HOST_OWNER,
    WORLD_HOST_WORK,
    WORLD_HOST_BAD
};
#define WORLD_HOSTS (WORLD_HOST_BAD + 1)

/* Their keys: made once for all runs, for the arithmetic of RSA is slow. */
struct world_people {
    struct buf owner_pem[WORLD_OWNERS];
    uint8_t owner_digest[WORLD_OWNERS][32];
    struct buf share_pem[WORLD_SHARES];
    struct buf share_pkcs1[WORLD_SHARES];
};
RESULT world_people_init(struct world_people *p, struct err *err);
void world_people_deinit(struct world_people *p);

struct world_options {
    uint64_t seed;
    const struct world_people *people;
    bool is_verbose;
    uint64_t chaos_ms;    /* virtual time with faults */
    uint64_t rest_ms;     /* to recover and come to rest */
    const char *folder;   /* for workspaces and pods' files: on a file system in memory */
    const uint64_t *only; /* numbers of faults to play, rising; NULL = all */
    size_t only_count;
};

struct world_result {
    bool is_good;
    char why[WORLD_TEXT]; /* the first check that failed */
    uint8_t digest[32];
    uint64_t steps;
    uint64_t faults;
    uint64_t sets; /* acknowledged to an owner's program */
    uint64_t certificates;
    uint64_t verifications; /* exit code 0 */
    uint64_t denials;       /* of strangers */
    uint64_t restarts;
    uint64_t recoveries;
    uint64_t end_ms; /* virtual */
};

void world_run(const struct world_options *options, struct world_result *out);

/* --- Faults: a seed's plan, drawn before anything happens */

enum world_fault_kind {
    WORLD_KILL,
    WORLD_TERM,
    WORLD_PAUSE,
    WORLD_HOST_LOSS,
    WORLD_CUT,
    WORLD_PARTITION,
    WORLD_RESET,
    WORLD_SLOW,
    WORLD_CLOCK,
    WORLD_DRIFT,
    WORLD_PROCESSOR,
    WORLD_KDS,
    WORLD_NAMES,
    WORLD_MOVE,
    WORLD_CLONE,
    WORLD_STRANGER,
    WORLD_STARVE,
    WORLD_RESOLVER,
    WORLD_FAULT_KINDS
};

struct world_fault {
    uint64_t number; /* in the plan, from 1 */
    uint64_t at_ms;
    uint64_t duration_ms;
    enum world_fault_kind kind;
    uint64_t a; /* what it hits: the kind's own meaning */
    uint64_t b;
    uint64_t c;
};

size_t world_plan(const struct world_options *options, struct world_fault out[WORLD_FAULTS]);
void world_plan_print(const struct world_fault *f, char out[WORLD_TEXT]);

/* --- Inside */

struct world;

enum world_client_kind { WORLD_INITIALIZER, WORLD_SIDECAR, WORLD_VERIFIER, WORLD_BAD_POD };

struct world_pod {
    struct world *world;
    unsigned index;
    unsigned host;                  /* where it runs: moves with WORLD_MOVE */
    char name[32];                  /* "coordinator-3" */
    struct played_process *process; /* NULL while it is down */
    struct server *server;          /* of the process; NULL before it is made */
    struct config config;
    struct pod_identity identity;
    bool is_bad;  /* nobody may let it in */
    bool is_told; /* to end: it goes when it hears of it, a sleeping one later */
    uint64_t lives;
    bool is_stray;  /* a clone or a stranger: not restarted, and never counted */
    struct err end; /* of the last life */
    /* world_check.c */
    uint64_t id;
    uint64_t applied;
    uint64_t leaves;
    uint64_t records;
    uint64_t epoch;
};

struct world_client {
    struct world *world;
    enum world_client_kind kind;
    unsigned index;
    struct played_process *process;
    struct pod_identity identity;
    struct enroll_config config;
    char folder[256];
    uint64_t begun_ms;
    uint64_t floor;    /* generation that was acknowledged when it began */
    uint64_t expected; /* generation of the manifest that a verifier holds to be active */
    uint64_t count;    /* certificates, or verifications */
    bool must_fail;
    struct result outcome;
    struct err why;
};

/* A person at a command line: one command after the other, in a workspace of their own. */
enum world_command { WORLD_IDLE, WORLD_SET, WORLD_VERIFY, WORLD_RECOVER, WORLD_CONTRIBUTE };
struct world_owner {
    struct world *world;
    unsigned index;
    char folder[256];
    struct played_process *process;
    enum world_command command;
    uint64_t next_ms;
    uint64_t manifest_number; /* of its manifest.json */
    uint64_t begun_ms;        /* the command */
    uint64_t expected;        /* generation of the manifest that it looks for */
    bool is_racing;           /* both found at once: one of them is told no */
    bool must_look;           /* somebody else set one: verify first */
    bool has_manifest;        /* of its own, which may not be active yet */
    char session[64];         /* of a recovery, as its program printed it */
    char address[256];        /* where it is open, or where it may be */
    char file[320];           /* the checkpoint to recover from; "" = from a survivor */
    struct result outcome;
    struct err why;
};

/* What a command is run with. */
struct world_cli {
    struct cli cli;
    struct world_owner *owner;
};

/* 32 bytes of a secret, and how they would stand in a log line. */
struct world_secret {
    uint8_t bytes[32];
    char hex[33];       /* half of it is enough */
    char base64[3][33]; /* whole groups, wherever in a text they begin */
};

struct world {
    const struct world_options *options;
    struct world_result *result;
    struct played *played;
    struct machine_room *room;
    struct sim_chance chance; /* of what people and clients do; faults have their own */
    unsigned founder_count;
    unsigned pod_count;
    struct world_pod pods[WORLD_PODS];
    struct world_pod strays[WORLD_FAULTS]; /* clones and strangers */
    size_t stray_count;
    struct world_owner owners[WORLD_OWNERS];
    struct world_client clients[WORLD_CLIENTS];
    size_t client_count;
    struct world_fault plan[WORLD_FAULTS];
    size_t plan_count;
    bool is_founded;  /* a set was acknowledged */
    bool is_quiet;    /* nothing new begins */
    bool has_liar;    /* the host of a coordinator hands out false evidence, so that it is denied */
    uint64_t lied_ms; /* one did until then */
    unsigned wrong_host; /* its clock is wrong, or was the last to be */
    bool is_clock_wrong;
    uint64_t clock_right_ms; /* since then all are right */
    bool has_shares;
    bool has_race;      /* two owners found the deployment at the same moment */
    uint64_t manifests; /* made so far */
    uint64_t next_client_ms;
    uint8_t policies[2][32]; /* coordinator, web */
    /* world_check.c */
    uint8_t (*roots)[48];
    size_t root_count;
    uint8_t (*heads)[32];
    struct buf *texts; /* manifests, as many */
    size_t head_count;
    uint8_t (*keys)[32]; /* digest of each generation's mesh CA */
    size_t key_count;
    uint64_t acked_generation;
    struct {
        uint64_t epoch; /* that its Coordinator was verified in */
        uint64_t index;
    } issued[WORLD_ISSUES]; /* certificates that pods have */
    size_t issued_count;
    uint8_t cluster[32];
    bool has_cluster;
    uint64_t epoch; /* newest that a replica shows */
    uint64_t terms[4096];
    uint64_t admitted[256];
    size_t admitted_count;
    struct world_secret secrets[64]; /* of the cluster */
    size_t secret_count;
};

void world_fail(struct world *w, const char *format, ...) PRINTF_LIKE(2, 3);
uint64_t world_random(struct world *w);
uint64_t world_below(struct world *w, uint64_t bound);
uint64_t world_now(const struct world *w);
void world_run_for(struct world *w, uint64_t duration_ms);
void world_rest(struct world *w); /* until it rests, bounded; then the checks */

/* world_pod.c */
void world_pod_init(struct world *w, unsigned index);
void world_pod_start(struct world_pod *p);
void world_pod_move(struct world_pod *p, unsigned host);
const struct replica *world_pod_replica(const struct world_pod *p); /* NULL: none */
/* Without this one, too, a majority of every configuration that somebody knows is sound. */
bool world_pod_may_die(const struct world *w, const struct world_pod *p);
void world_pod_stray(struct world *w, const char *name, unsigned host,
                     const struct pod_identity *identity, bool is_bad);

/* world_owner.c */
void world_owner_policies(struct world *w); /* fills w->policies */
void world_owner_init(struct world *w, unsigned index);
void world_owner_tend(struct world *w);
bool world_owner_is_idle(const struct world *w);
void world_owner_ask(struct world_owner *o, enum world_command command);
/* Writes the manifest of a generation that was set into a folder, as manifest.json. */
void world_owner_copy(struct world *w, uint64_t generation, const char *folder);

void world_owner_wait(struct world *w); /* until their commands have ended, bounded */

/* world_recover.c */
/* At rest: all replicas but one lose their memory, or all; share owners bring the deployment back.
 */
void world_recover_play(struct world *w);
int world_recover_words(const struct world_owner *o, char words[8][320]); /* of the command */

/* world_client.c */
void world_client_tend(struct world *w);
struct world_client *world_client_start(struct world *w, enum world_client_kind kind);
bool world_client_is_idle(const struct world *w);
void world_client_stop(struct world *w);

/* world_fault.c */
void world_fault_schedule(struct world *w);
void world_fault_heal(struct world *w);
/* Whoever began then may have met a replica whose evidence is false. */
bool world_fault_is_excused(const struct world *w, uint64_t begun_ms);
/* Makes it one that no manifest of the world takes. */
void world_fault_spoil(uint64_t dice, struct pod_identity *id);

/* world_check.c */
void world_check_step(struct world *w);
bool world_check_is_resting(struct world *w);
void world_check_rest(struct world *w);
/* A pod has a certificate with this issue index, of this epoch. */
void world_check_issued(struct world *w, uint64_t epoch, uint64_t index);
void world_check_log(struct world *w, const char *line);
void world_check_deinit(struct world *w);

#endif
