/* Pod server: see podserver.h. A link is one connection; a pod is one listening socket, held by the
 * control link that launched it. Every handle is freed in its close callback.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/simulator/podserver.h"

#include <stdio.h>
#include <string.h>

#include <uv.h>

#include "attest/issuer.h"
#include "attest/snp_report.h"
#include "chaos-tests/simulator/machine_key.h"
#include "chaos-tests/simulator/podsocket.h"
#include "lib/base/file.h"
#include "lib/base/host.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define BACKLOG 128
#define HEADER_SIZE 8 /* magic and version or status */
#define LINK_INPUT_SIZE 128

struct server;
struct pod;
struct link;

/* One kind of request. A link's first bytes choose it. */
struct request_kind {
    bool is_control;
    const char *magic;
    size_t size; /* bytes of a whole request, at most LINK_INPUT_SIZE */
    void (*take)(struct link *link);
    void (*process)(struct link *link); /* at the security processor's turn */
};

struct link {
    uv_pipe_t pipe;
    struct server *server;
    struct pod *pod; /* whose reports it asks for; of a control link: the pod it holds, or NULL */
    bool is_control;
    bool is_waiting; /* a request is queued */
    bool is_closing;
    const struct request_kind *kind; /* of the request that is read or queued, NULL = not known */
    uint8_t in[LINK_INPUT_SIZE];
    size_t in_size;
};

struct pod {
    uv_pipe_t listener;
    struct server *server;
    struct machine_guest guest;
    char path[PODSOCKET_PATH_SIZE];
    bool is_closing;
};

struct server {
    uv_loop_t loop;
    uv_pipe_t listener;
    uv_signal_t terminate;
    uv_signal_t interrupt;
    uv_signal_t throttle; /* SIGUSR1: everything is answered busy from now on */
    uv_signal_t relent;   /* SIGUSR2: as the options say again */
    uv_signal_t change;   /* SIGHUP: behaviour is read from the options' file */
    bool is_throttled;
    struct podserver_behaviour behaviour;
    uv_timer_t processor;
    const struct machine *machine;
    const struct podserver_options *options;
    struct buf certtable;
    struct link *links[PODSERVER_LINKS_MAX];
    size_t link_count;
    size_t pod_count;
    struct link *queue[PODSERVER_QUEUE_MAX]; /* ring; NULL = the asker went away meanwhile */
    size_t queue_first;
    size_t queue_count;
};

struct answer {
    uv_write_t request;
    struct link *link;
    struct buf bytes;
    bool is_last; /* close the link behind it */
};

_Static_assert(PODSERVER_LAUNCH_SIZE <= LINK_INPUT_SIZE, "a link's input holds a launch");
_Static_assert(ISSUER_REQUEST_SIZE <= LINK_INPUT_SIZE, "a link's input holds a report request");
_Static_assert(ISSUER_KEY_MESSAGE_SIZE <= LINK_INPUT_SIZE, "a link's input holds a key request");
_Static_assert(ISSUER_KEY_REQUEST_SIZE == MACHINE_KEY_REQUEST_SIZE, "one MSG_KEY_REQ");
_Static_assert(ISSUER_KEY_RESPONSE_SIZE == MACHINE_KEY_RESPONSE_SIZE, "one MSG_KEY_RSP");

/* --- closing */

static void on_pod_closed(uv_handle_t *handle) {
    mem_free(handle->data);
}

static void close_link(struct link *link);

static void close_pod(struct pod *pod) {
    if (pod->is_closing) {
        return;
    }
    pod->is_closing = true;
    struct server *server = pod->server;
    server->pod_count--;
    for (size_t i = 0; i < server->link_count; i++) {
        if (server->links[i]->pod == pod) {
            close_link(server->links[i]);
            server->links[i]->pod = NULL;
        }
    }
    log_info("pod ended: %s", pod->path);
    uv_close((uv_handle_t *)&pod->listener, on_pod_closed); /* libuv removes the socket */
}

static void on_link_closed(uv_handle_t *handle) {
    struct link *link = handle->data;
    struct server *server = link->server;
    for (size_t i = 0; i < server->link_count; i++) {
        if (server->links[i] == link) {
            server->links[i] = server->links[--server->link_count];
            break;
        }
    }
    mem_free(link);
}

static void close_link(struct link *link) {
    if (link->is_closing) {
        return;
    }
    link->is_closing = true;
    struct server *server = link->server;
    for (size_t i = 0; i < server->queue_count; i++) {
        struct link **slot = &server->queue[(server->queue_first + i) % PODSERVER_QUEUE_MAX];
        *slot = *slot == link ? NULL : *slot;
    }
    if (link->is_control && link->pod != NULL) {
        close_pod(link->pod);
    }
    uv_close((uv_handle_t *)&link->pipe, on_link_closed);
}

/* --- answers */

static void on_written(uv_write_t *request, int status) {
    struct answer *answer = request->data;
    if (status != 0 || answer->is_last) {
        close_link(answer->link);
    }
    buf_deinit(&answer->bytes);
    mem_free(answer);
}

/* Takes the bytes. */
static void send_bytes(struct link *link, struct buf *bytes, bool is_last) {
    struct answer *answer = mem_zalloc(sizeof *answer);
    answer->link = link;
    answer->bytes = *bytes;
    answer->is_last = is_last;
    answer->request.data = answer;
    *bytes = (struct buf){0};
    uv_buf_t part = uv_buf_init((char *)answer->bytes.data, (unsigned)answer->bytes.size);
    if (uv_write(&answer->request, (uv_stream_t *)&link->pipe, &part, 1, on_written) != 0) {
        close_link(link);
        buf_deinit(&answer->bytes);
        mem_free(answer);
    }
}

static void send_status(struct link *link, uint32_t status, bool is_last) {
    struct buf bytes = {0};
    buf_append_str(&bytes, link->is_control ? PODSERVER_POD_MAGIC : ISSUER_ANSWER_MAGIC);
    buf_append_u32be(&bytes, status);
    send_bytes(link, &bytes, is_last);
}

static void refuse(struct link *link, const char *why) {
    log_warn("refused a %s request: %s", link->is_control ? "launch" : "pod's", why);
    send_status(link, PODSERVER_STATUS_REFUSED, true);
}

/* --- the security processor */

static void sign_report(struct link *link) {
    struct server *server = link->server;
    struct buf bytes = {0};
    AUTO(buf_deinit)
    struct buf report = {0};
    struct err err;
    struct result r =
        machine_report(server->machine, &link->pod->guest, link->in + HEADER_SIZE, &report, &err);
    if (!is_ok(r)) {
        refuse(link, err.text);
        return;
    }
    buf_append_str(&bytes, ISSUER_ANSWER_MAGIC);
    buf_append_u32be(&bytes, ISSUER_STATUS_OK);
    buf_append_u32be(&bytes, (uint32_t)report.size);
    buf_append_span(&bytes, buf_span(&report));
    buf_append_u32be(&bytes, (uint32_t)server->certtable.size);
    buf_append_span(&bytes, buf_span(&server->certtable));
    send_bytes(link, &bytes, false);
}

static void derive_key(struct link *link) {
    const struct machine *machine = link->server->machine;
    struct buf bytes = {0};
    buf_append_str(&bytes, ISSUER_ANSWER_MAGIC);
    buf_append_u32be(&bytes, ISSUER_STATUS_OK);
    buf_append_u32be(&bytes, MACHINE_KEY_RESPONSE_SIZE);
    uint8_t *response = buf_extend(&bytes, MACHINE_KEY_RESPONSE_SIZE);
    machine_key_derive(machine, &link->pod->guest, link->in + HEADER_SIZE, response);
    if (load_u32le(response) != MACHINE_KEY_OK) {
        log_warn("refused to derive a key: status 0x%x", (unsigned)load_u32le(response));
    }
    send_bytes(link, &bytes, false);
}

/* Another request may be read. */
static void end_request(struct link *link) {
    link->is_waiting = false;
    link->kind = NULL;
    link->in_size = 0;
}

static void on_processed(uv_timer_t *timer) {
    struct server *server = timer->data;
    struct link *link = server->queue[server->queue_first];
    server->queue_first = (server->queue_first + 1) % PODSERVER_QUEUE_MAX;
    server->queue_count--;
    if (server->queue_count > 0) {
        CHECK(uv_timer_start(timer, on_processed, server->behaviour.latency_ms, 0) == 0);
    }
    if (link != NULL) {
        link->kind->process(link);
        end_request(link);
    }
}

static bool is_throttled(const struct server *server) {
    return server->is_throttled || server->queue_count == PODSERVER_QUEUE_MAX ||
           host_random_below(&host_system, 100) < server->behaviour.busy_percent;
}

static void take_pod_request(struct link *link) {
    struct server *server = link->server;
    if (load_u32be(link->in + ISSUER_MAGIC_SIZE) != ISSUER_VERSION) {
        refuse(link, "unknown version");
        return;
    }
    if (is_throttled(server)) {
        end_request(link);
        send_status(link, ISSUER_STATUS_BUSY, false);
        return;
    }
    if (host_random_below(&host_system, 100) < server->behaviour.refused_percent) {
        refuse(link, "the processor is to refuse it");
        return;
    }
    link->is_waiting = true;
    server->queue[(server->queue_first + server->queue_count++) % PODSERVER_QUEUE_MAX] = link;
    if (server->queue_count == 1) {
        CHECK(uv_timer_start(&server->processor, on_processed, server->behaviour.latency_ms, 0) ==
              0);
    }
}

/* --- launching */

static void on_connection(uv_stream_t *listener, int status);

static bool open_pod(struct server *server, struct pod *pod) {
    uint64_t number = 0;
    host_random(&host_system, &number, sizeof number);
    CHECK(uv_pipe_init(&server->loop, &pod->listener, 0) == 0);
    pod->listener.data = pod;
    return podsocket_pod_path(server->options->socket, number, pod->path) &&
           uv_pipe_bind(&pod->listener, pod->path) == 0 &&
           uv_listen((uv_stream_t *)&pod->listener, BACKLOG, on_connection) == 0;
}

/* Takes what the launch says of the guest, the machine's where it says nothing. False: firmware
 * launches no such guest. */
static bool fill_guest(const struct machine *machine, const uint8_t *launch,
                       struct machine_guest *guest) {
    struct span measurement =
        span_of(launch + PODSERVER_LAUNCH_MEASUREMENT, MACHINE_MEASUREMENT_SIZE);
    uint64_t policy = load_u64be(launch + PODSERVER_LAUNCH_POLICY);
    machine_guest_init(machine, launch + HEADER_SIZE, guest);
    if (!span_is_zero(measurement)) {
        memcpy(guest->measurement, measurement.data, measurement.size);
    }
    guest->policy = policy != 0 ? policy : guest->policy;
    return (guest->policy & SNP_POLICY_RESERVED_ONE) != 0;
}

static struct pod *make_pod(struct server *server, const struct machine_guest *guest) {
    struct pod *pod = mem_zalloc(sizeof *pod);
    pod->server = server;
    pod->guest = *guest;
    if (!open_pod(server, pod)) {
        uv_close((uv_handle_t *)&pod->listener, on_pod_closed);
        return NULL;
    }
    server->pod_count++;
    return pod;
}

static void take_launch(struct link *link) {
    struct server *server = link->server;
    struct machine_guest guest;
    if (load_u32be(link->in + PODSERVER_MAGIC_SIZE) != PODSERVER_VERSION) {
        refuse(link, "unknown version");
        return;
    }
    if (server->pod_count == PODSERVER_PODS_MAX) {
        refuse(link, "too many pods");
        return;
    }
    if (!fill_guest(server->machine, link->in, &guest)) {
        refuse(link, "bit 17 of a guest policy must be set");
        return;
    }
    link->pod = make_pod(server, &guest);
    if (link->pod == NULL) {
        refuse(link, "cannot make the pod's socket");
        return;
    }
    char host_data[2 * MACHINE_HOST_DATA_SIZE + 1];
    hex_encode(SPAN(link->pod->guest.host_data), host_data);
    log_info("pod launched: %s host_data=%s", link->pod->path, host_data);
    struct buf bytes = {0};
    buf_append_str(&bytes, PODSERVER_POD_MAGIC);
    buf_append_u32be(&bytes, PODSERVER_STATUS_OK);
    buf_append_u32be(&bytes, (uint32_t)strlen(link->pod->path));
    buf_append_str(&bytes, link->pod->path);
    send_bytes(link, &bytes, false);
}

/* --- reading */

/* Bytes still wanted from this link; 0 = it must be silent now. */
static size_t wanted(const struct link *link) {
    size_t size = link->kind == NULL ? ISSUER_MAGIC_SIZE : link->kind->size;
    if (link->is_control) {
        return link->pod != NULL ? 0 : size - link->in_size;
    }
    return link->is_waiting ? 0 : size - link->in_size;
}

/* What the bytes so far may be the start of; once the magic is whole, what they are. */
static const struct request_kind *find_kind(const struct link *link) {
    static const struct request_kind kinds[] = {
        {true, PODSERVER_LAUNCH_MAGIC, PODSERVER_LAUNCH_SIZE, take_launch, NULL},
        {false, ISSUER_REQUEST_MAGIC, ISSUER_REQUEST_SIZE, take_pod_request, sign_report},
        {false, ISSUER_KEY_MAGIC, ISSUER_KEY_MESSAGE_SIZE, take_pod_request, derive_key},
    };
    size_t known = link->in_size < ISSUER_MAGIC_SIZE ? link->in_size : ISSUER_MAGIC_SIZE;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (kinds[i].is_control == link->is_control &&
            memcmp(link->in, kinds[i].magic, known) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

static void on_space(uv_handle_t *handle, size_t suggested, uv_buf_t *space) {
    (void)suggested;
    struct link *link = handle->data;
    size_t size = wanted(link);
    /* With nothing wanted one byte of room shows who speaks out of turn; it is cut off. */
    size_t at = size > 0 ? link->in_size : 0;
    *space = uv_buf_init((char *)link->in + at, size > 0 ? (unsigned)size : 1);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *space) {
    (void)space;
    struct link *link = stream->data;
    if (n == 0 || link->is_closing) {
        return;
    }
    if (n < 0 || wanted(link) == 0) {
        close_link(link);
        return;
    }
    link->in_size += (size_t)n;
    const struct request_kind *kind = find_kind(link);
    if (kind == NULL) {
        CHECK(uv_read_stop(stream) == 0);
        refuse(link, "wrong magic");
        return;
    }
    link->kind = link->in_size < ISSUER_MAGIC_SIZE ? NULL : kind;
    if (link->in_size == kind->size) {
        kind->take(link);
    }
}

static void on_connection(uv_stream_t *listener, int status) {
    struct server *server = listener->loop->data;
    bool is_control = listener == (uv_stream_t *)&server->listener;
    if (status != 0) {
        log_warn("cannot take a connection: %s", uv_strerror(status));
        return;
    }
    struct link *link = mem_zalloc(sizeof *link);
    link->server = server;
    link->is_control = is_control;
    link->pod = is_control ? NULL : listener->data;
    CHECK(uv_pipe_init(&server->loop, &link->pipe, 0) == 0);
    link->pipe.data = link;
    bool has_room = server->link_count < PODSERVER_LINKS_MAX;
    if (has_room) {
        server->links[server->link_count++] = link;
    }
    if (uv_accept(listener, (uv_stream_t *)&link->pipe) != 0 || !has_room ||
        uv_read_start((uv_stream_t *)&link->pipe, on_space, on_read) != 0) {
        close_link(link);
    }
}

/* --- the server */

static void on_signal(uv_signal_t *handle, int number) {
    struct server *server = handle->data;
    log_info("signal %d: ending", number);
    uv_close((uv_handle_t *)&server->listener, NULL);
    uv_close((uv_handle_t *)&server->terminate, NULL);
    uv_close((uv_handle_t *)&server->interrupt, NULL);
    uv_close((uv_handle_t *)&server->throttle, NULL);
    uv_close((uv_handle_t *)&server->relent, NULL);
    uv_close((uv_handle_t *)&server->change, NULL);
    uv_close((uv_handle_t *)&server->processor, NULL);
    for (size_t i = 0; i < server->link_count; i++) {
        close_link(server->links[i]);
    }
}

static void on_throttle(uv_signal_t *handle, int number) {
    struct server *server = handle->data;
    server->is_throttled = number == SIGUSR1;
    log_info("signal %d: %s", number, server->is_throttled ? "always busy" : "busy as configured");
}

static RESULT load_behaviour(struct server *server, struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    TRY(file_read(server->options->settings, PODSERVER_BEHAVIOUR_SIZE, &text, err));
    struct result r = podserver_behaviour_parse(buf_span(&text), &server->behaviour, err);
    return is_ok(r) ? OK : err_wrap(r, err, "%s", server->options->settings);
}

static void on_change(uv_signal_t *handle, int number) {
    struct server *server = handle->data;
    struct err err = {0};
    if (!is_ok(load_behaviour(server, &err))) {
        log_warn("signal %d: nothing is changed: %s", number, err.text);
        return;
    }
    const struct podserver_behaviour *b = &server->behaviour;
    log_info("signal %d: %llu ms, %llu %% busy, %llu %% refused", number,
             (unsigned long long)b->latency_ms, (unsigned long long)b->busy_percent,
             (unsigned long long)b->refused_percent);
}

static void open_throttle(struct server *server) {
    server->throttle.data = server;
    server->relent.data = server;
    server->change.data = server;
    CHECK(uv_signal_init(&server->loop, &server->change) == 0);
    CHECK(uv_signal_start(&server->change, on_change, SIGHUP) == 0);
    CHECK(uv_signal_init(&server->loop, &server->throttle) == 0);
    CHECK(uv_signal_init(&server->loop, &server->relent) == 0);
    CHECK(uv_signal_start(&server->throttle, on_throttle, SIGUSR1) == 0);
    CHECK(uv_signal_start(&server->relent, on_throttle, SIGUSR2) == 0);
}

static RESULT open_handles(struct server *server, struct err *err) {
    CHECK(uv_loop_init(&server->loop) == 0);
    server->loop.data = server;
    server->listener.data = server;
    server->processor.data = server;
    server->terminate.data = server;
    server->interrupt.data = server;
    CHECK(uv_pipe_init(&server->loop, &server->listener, 0) == 0);
    CHECK(uv_timer_init(&server->loop, &server->processor) == 0);
    CHECK(uv_signal_init(&server->loop, &server->terminate) == 0);
    CHECK(uv_signal_init(&server->loop, &server->interrupt) == 0);
    CHECK(uv_signal_start(&server->terminate, on_signal, SIGTERM) == 0);
    CHECK(uv_signal_start(&server->interrupt, on_signal, SIGINT) == 0);
    open_throttle(server);
    int rc = uv_pipe_bind(&server->listener, server->options->socket);
    rc = rc != 0 ? rc : uv_listen((uv_stream_t *)&server->listener, BACKLOG, on_connection);
    ENSURE(rc == 0, err, CONFIG, "%s: cannot listen: %s", server->options->socket, uv_strerror(rc));
    return OK;
}

static void close_one(uv_handle_t *handle, void *data) {
    (void)data;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

static RESULT serve(struct server *server, struct err *err) {
    struct result r = open_handles(server, err);
    if (is_ok(r)) {
        printf("listening on %s\n", server->options->socket);
        fflush(stdout);
    } else {
        uv_walk(&server->loop, close_one, NULL);
    }
    CHECK(uv_run(&server->loop, UV_RUN_DEFAULT) == 0);
    CHECK(uv_loop_close(&server->loop) == 0);
    return r;
}

struct result podserver_run(const struct machine *machine, const struct podserver_options *options,
                            struct err *err) {
    TRY(podsocket_prepare(options->socket, err));
    struct server *server = mem_zalloc(sizeof *server);
    server->machine = machine;
    server->options = options;
    server->behaviour = options->behaviour;
    if (!options->no_certificates) {
        machine_certtable(machine, &server->certtable);
    }
    struct result r = serve(server, err);
    buf_deinit(&server->certtable);
    mem_free(server);
    return r;
}
