/* TCP of libuv on the played network: connect, listen, accept, read, write, shutdown, and names;
 * see played_net.h for what flies.
 *
 * A handle keeps its end of a connection in u.reserved[0], its listener in u.reserved[1]. As in
 * libuv a callback never comes from inside the call that asked for it, and what is left when a
 * handle closes comes with UV_ECANCELED right before close_cb.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "chaos-tests/played/played_loop.h"
#include "chaos-tests/played/played_net.h"
#include "lib/base/mem.h"

#define READ_ROUNDS 32       /* of one handle in one round of the loop, as libuv */
#define READ_SUGGESTED 65536 /* bytes, as libuv */
#define ADDRESSES_MAX 64     /* of one name */
#define BUFFERS_MAX 4        /* of one uv_write */

static struct socket_end *end_of(const uv_stream_t *stream) {
    return stream->u.reserved[0];
}

static struct socket_listener *listener_of(const uv_stream_t *stream) {
    return stream->u.reserved[1];
}

static uv_stream_t *stream_of(uv_tcp_t *tcp) {
    return (uv_stream_t *)tcp;
}

/* What keeps the loop alive: a listener and one that reads; requests count for themselves. */
static void update(uv_stream_t *stream) {
    if (stream->read_cb != NULL || stream->connection_cb != NULL) {
        loop_handle_start((uv_handle_t *)stream);
    } else {
        loop_handle_stop((uv_handle_t *)stream);
    }
}

/* --- Handles */

int uv_tcp_init(uv_loop_t *loop, uv_tcp_t *tcp) {
    loop_handle_init(loop, (uv_handle_t *)tcp, UV_TCP);
    tcp->write_queue_size = 0;
    tcp->alloc_cb = NULL;
    tcp->read_cb = NULL;
    tcp->connect_req = NULL;
    tcp->shutdown_req = NULL;
    tcp->connection_cb = NULL;
    tcp->delayed_error = 0; /* 1: SO_REUSEPORT */
    tcp->accepted_fd = 0;   /* the port that uv_tcp_bind was given */
    stage_ring_init(tcp->write_queue);
    stage_ring_init(tcp->write_completed_queue);
    return 0;
}

int uv_tcp_init_ex(uv_loop_t *loop, uv_tcp_t *tcp, unsigned flags) {
    (void)flags;
    return uv_tcp_init(loop, tcp);
}

int uv_tcp_nodelay(uv_tcp_t *tcp, int enable) {
    (void)enable;
    return end_of(stream_of(tcp)) != NULL ? 0 : UV_EBADF;
}

int uv_tcp_keepalive(uv_tcp_t *tcp, int enable, unsigned delay) {
    (void)enable;
    (void)delay;
    return end_of(stream_of(tcp)) != NULL ? 0 : UV_EBADF;
}

/* Options are set on the descriptor of a handle: all have the same number here, which no file of
 * the system has, and the options are of the one that was asked for last. */
#define STAND_IN_FD 0x5f000000

static uv_tcp_t *asked_for;

int uv_fileno(const uv_handle_t *handle, uv_os_fd_t *fd) {
    CHECK(handle->type == UV_TCP);
    memcpy(&asked_for, &handle, sizeof asked_for); /* options change it */
    *fd = STAND_IN_FD;
    return 0;
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t size) {
    if (fd != STAND_IN_FD) {
        return (int)syscall(SYS_setsockopt, fd, level, option, value, size);
    }
    if (level == SOL_SOCKET && option == SO_REUSEPORT) {
        asked_for->delayed_error = 1;
    }
    return 0;
}

/* --- Addresses */

static struct socket_address parse_address(const struct sockaddr *address, unsigned own) {
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (address->sa_family == AF_INET) {
        memcpy(&v4, address, sizeof v4);
        uint32_t text = ntohl(v4.sin_addr.s_addr);
        return (struct socket_address){net_host_of_address(text, own), text, ntohs(v4.sin_port)};
    }
    memcpy(&v6, address, sizeof v6);
    bool is_own = memcmp(&v6.sin6_addr, &in6addr_loopback, sizeof in6addr_loopback) == 0;
    return (struct socket_address){is_own ? own : UINT_MAX, INADDR_LOOPBACK, ntohs(v6.sin6_port)};
}

static struct sockaddr_in make_address(uint32_t v4, uint16_t port) {
    struct sockaddr_in out = {.sin_family = AF_INET, .sin_port = htons(port)};
    out.sin_addr.s_addr = htonl(v4);
    return out;
}

static int put_address(uint32_t v4, uint16_t port, struct sockaddr *out, int *size) {
    struct sockaddr_in address = make_address(v4, port);
    if (*size < (int)sizeof address) {
        return UV_EINVAL;
    }
    memcpy(out, &address, sizeof address);
    *size = sizeof address;
    return 0;
}

int uv_tcp_getsockname(const uv_tcp_t *tcp, struct sockaddr *name, int *size) {
    const uv_stream_t *stream = (const uv_stream_t *)tcp;
    if (listener_of(stream) != NULL) {
        return put_address(INADDR_ANY, listener_of(stream)->port, name, size);
    }
    const struct socket_end *end = end_of(stream);
    return end == NULL ? UV_EBADF : put_address(end->address, end->port, name, size);
}

int uv_tcp_getpeername(const uv_tcp_t *tcp, struct sockaddr *name, int *size) {
    const struct socket_end *end = end_of((const uv_stream_t *)tcp);
    if (end == NULL || !end->is_open) {
        return UV_ENOTCONN;
    }
    const struct socket_end *peer = socket_peer(end);
    return put_address(peer->address, peer->port, name, size);
}

/* --- Names */

static struct addrinfo *new_address(struct sockaddr_in address) {
    struct addrinfo *info = mem_zalloc(sizeof *info + sizeof address);
    memcpy(info + 1, &address, sizeof address);
    info->ai_family = AF_INET;
    info->ai_socktype = SOCK_STREAM;
    info->ai_protocol = IPPROTO_TCP;
    info->ai_addrlen = sizeof address;
    info->ai_addr = (struct sockaddr *)(void *)(info + 1);
    return info;
}

static struct addrinfo *look_up(const char *name, uint16_t port) {
    struct sockaddr_in numeric;
    struct sockaddr_in6 any;
    if (uv_ip4_addr(name, port, &numeric) == 0) {
        return new_address(numeric);
    }
    if (uv_ip6_addr(name, port, &any) == 0) { /* "::" listens for all */
        return new_address(make_address(INADDR_ANY, port));
    }
    if (strcmp(name, "localhost") == 0) {
        return new_address(make_address(INADDR_LOOPBACK, port));
    }
    unsigned hosts[ADDRESSES_MAX];
    size_t count = net_resolve(name, hosts, ADDRESSES_MAX);
    struct addrinfo *first = NULL;
    for (size_t i = 0; i < count; i++) {
        struct addrinfo *info = new_address(make_address(net_address_of_host(hosts[i]), port));
        info->ai_next = first;
        first = info;
    }
    return first;
}

static uint16_t port_of(const char *service) {
    return (uint16_t)(service == NULL ? 0 : strtoul(service, NULL, 10));
}

struct lookup {
    uv_getaddrinfo_t *request;
    char *name;
    uint16_t port;
    bool is_unanswered; /* the name service was down when it was asked */
};

static void drop_lookup(void *data) {
    struct lookup *l = data;
    stage_free(l->name);
    stage_free(l);
}

static void on_looked_up(void *data) {
    struct lookup *l = data;
    bool is_down = l->is_unanswered && net_is_name_service_down();
    l->request->addrinfo = is_down ? NULL : look_up(l->name, l->port);
    l->request->retcode = l->request->addrinfo != NULL ? 0 : is_down ? UV_EAI_AGAIN : UV_EAI_NONAME;
    loop_request_done(l->request->loop, (uv_req_t *)l->request);
    drop_lookup(l);
}

int uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *request, uv_getaddrinfo_cb cb,
                   const char *node, const char *service, const struct addrinfo *hints) {
    (void)hints;
    request->loop = loop;
    request->cb = cb;
    request->addrinfo = NULL;
    if (cb == NULL) {
        request->addrinfo = look_up(node, port_of(service));
        return request->addrinfo == NULL ? UV_EAI_NONAME : 0;
    }
    struct lookup *l = stage_alloc(sizeof *l);
    l->request = request;
    l->name = stage_alloc(strlen(node) + 1); /* zeroed */
    memcpy(l->name, node, strlen(node));
    l->port = port_of(service);
    l->is_unanswered = net_is_name_service_down();
    loop_request_init(loop, (uv_req_t *)request, UV_GETADDRINFO);
    stage_later_us(loop_of(loop)->process, net_lookup_us(), on_looked_up, l, drop_lookup);
    return 0;
}

void uv_freeaddrinfo(struct addrinfo *info) {
    while (info != NULL) {
        struct addrinfo *next = info->ai_next;
        mem_free(info);
        info = next;
    }
}

/* A lookup that has begun goes on, as in libuv's thread pool. */
int uv_cancel(uv_req_t *request) {
    return request->type == UV_GETADDRINFO ? UV_EBUSY : UV_EINVAL;
}

/* --- Listening */

int uv_tcp_bind(uv_tcp_t *tcp, const struct sockaddr *address, unsigned flags) {
    (void)flags;
    tcp->accepted_fd = parse_address(address, loop_of(tcp->loop)->process->host).port;
    return 0;
}

int uv_listen(uv_stream_t *stream, int backlog, uv_connection_cb cb) {
    (void)backlog;
    struct socket_listener *listener = NULL;
    int status = socket_listen((uv_tcp_t *)stream, (uint16_t)stream->accepted_fd, &listener);
    if (status == 0) {
        stream->u.reserved[1] = listener;
        stream->connection_cb = cb;
        update(stream);
    }
    return status;
}

int uv_accept(uv_stream_t *server, uv_stream_t *client) {
    struct socket_listener *listener = listener_of(server);
    struct socket_end *end = listener == NULL ? NULL : socket_accept(listener, (uv_tcp_t *)client);
    if (end == NULL) {
        return UV_EAGAIN;
    }
    client->u.reserved[0] = end;
    return 0;
}

static void run_listener(uv_stream_t *stream) {
    struct socket_listener *listener = listener_of(stream);
    while (listener_of(stream) != NULL && listener->waiting_count > 0) {
        size_t before = listener->waiting_count;
        stream->connection_cb(stream, 0);
        if (listener_of(stream) == NULL || listener->waiting_count == before) {
            break;
        }
    }
}

/* --- Connecting */

int uv_tcp_connect(uv_connect_t *request, uv_tcp_t *tcp, const struct sockaddr *address,
                   uv_connect_cb cb) {
    uv_stream_t *stream = stream_of(tcp);
    if (stream->connect_req != NULL || end_of(stream) != NULL) {
        return UV_EALREADY;
    }
    struct socket_address to = parse_address(address, loop_of(tcp->loop)->process->host);
    loop_request_init(tcp->loop, (uv_req_t *)request, UV_CONNECT);
    request->handle = stream;
    request->cb = cb;
    stream->connect_req = request;
    stream->u.reserved[0] = socket_connect(tcp, to);
    return 0;
}

static void end_connect(uv_stream_t *stream, int status) {
    uv_connect_t *request = stream->connect_req;
    stream->connect_req = NULL;
    loop_request_gone(stream->loop);
    if (request->cb != NULL) {
        request->cb(request, status);
    }
}

/* --- Reading */

int uv_read_start(uv_stream_t *stream, uv_alloc_cb alloc_cb, uv_read_cb read_cb) {
    if ((stream->flags & LOOP_CLOSING) != 0 || alloc_cb == NULL || read_cb == NULL) {
        return UV_EINVAL;
    }
    if (end_of(stream) == NULL) {
        return UV_ENOTCONN;
    }
    stream->alloc_cb = alloc_cb;
    stream->read_cb = read_cb;
    update(stream);
    loop_handle_ready((uv_handle_t *)stream);
    return 0;
}

int uv_read_stop(uv_stream_t *stream) {
    stream->read_cb = NULL;
    stream->alloc_cb = NULL;
    update(stream);
    return 0;
}

/* Bytes first, then what came behind them. 0: nothing now. */
static ssize_t read_piece(struct socket_end *end, const uv_buf_t *b) {
    if (end->in.size > 0) {
        return (ssize_t)socket_read(end, b->base, b->len);
    }
    return end->status != 0 ? end->status : UV_EOF;
}

static bool is_readable(const uv_stream_t *stream) {
    const struct socket_end *end = end_of(stream);
    return end != NULL && stream->read_cb != NULL &&
           (end->in.size > 0 || end->status != 0 || end->is_eof);
}

static void run_reads(uv_stream_t *stream) {
    for (int i = 0; i < READ_ROUNDS && is_readable(stream); i++) {
        uv_buf_t b = uv_buf_init(NULL, 0);
        uv_read_cb read_cb = stream->read_cb;
        stream->alloc_cb((uv_handle_t *)stream, READ_SUGGESTED, &b);
        if (b.base == NULL || b.len == 0) {
            read_cb(stream, UV_ENOBUFS, &b);
            return;
        }
        ssize_t n = read_piece(end_of(stream), &b);
        if (n < 0) {
            uv_read_stop(stream);
        }
        read_cb(stream, n, &b);
        if (n > 0 && (size_t)n < b.len) {
            break;
        }
    }
    if (is_readable(stream)) {
        loop_handle_ready((uv_handle_t *)stream);
    }
}

/* --- Writing */

/* A negative errno where nothing can be written any more. */
static int write_status(const uv_stream_t *stream) {
    const struct socket_end *end = end_of(stream);
    if (end == NULL) {
        return UV_EBADF;
    }
    if (end->status != 0) {
        return end->status;
    }
    return end->is_shut ? UV_EPIPE : 0;
}

static size_t send_some(struct socket_end *end, const uv_buf_t *b) {
    size_t room = socket_room(end);
    size_t n = b->len < room ? b->len : room;
    end->wants_room = n < b->len;
    if (n > 0) {
        socket_send(end, b->base, n);
    }
    return n;
}

int uv_try_write(uv_stream_t *stream, const uv_buf_t *bufs, unsigned count) {
    if (stream->connect_req != NULL || !stage_ring_is_empty(stream->write_queue)) {
        return UV_EAGAIN;
    }
    int status = write_status(stream);
    size_t done = 0;
    for (unsigned i = 0; status == 0 && i < count; i++) {
        size_t n = send_some(end_of(stream), &bufs[i]);
        done += n;
        if (n < bufs[i].len) {
            break;
        }
    }
    return status != 0 ? status : done == 0 ? UV_EAGAIN : (int)done;
}

static uv_write_t *first_write(void *const *ring) {
    return stage_ring_is_empty(ring) ? NULL : STAGE_OF(uv_write_t, queue, ring[0]);
}

static void complete(uv_stream_t *stream, uv_write_t *request, int status) {
    request->error = status;
    stage_ring_remove(request->queue);
    stage_ring_append(stream->write_completed_queue, request->queue);
    loop_handle_ready((uv_handle_t *)stream);
}

/* False: the window is full. */
static bool push_request(uv_stream_t *stream, uv_write_t *request) {
    while (request->write_index < request->nbufs) {
        uv_buf_t *b = &request->bufs[request->write_index];
        size_t n = send_some(end_of(stream), b);
        stream->write_queue_size -= n;
        b->base += n;
        b->len -= n;
        if (b->len > 0) {
            return false;
        }
        request->write_index++;
    }
    return true;
}

static void push_writes(uv_stream_t *stream) {
    uv_write_t *request;
    while (stream->connect_req == NULL && (request = first_write(stream->write_queue)) != NULL) {
        int status = write_status(stream);
        if (status == 0 && !push_request(stream, request)) {
            return;
        }
        complete(stream, request, status);
    }
}

int uv_write(uv_write_t *request, uv_stream_t *stream, const uv_buf_t *bufs, unsigned count,
             uv_write_cb cb) {
    CHECK(count > 0 && count <= BUFFERS_MAX);
    if (end_of(stream) == NULL) {
        return UV_EBADF;
    }
    loop_request_init(stream->loop, (uv_req_t *)request, UV_WRITE);
    request->handle = stream;
    request->cb = cb;
    request->error = 0;
    request->bufs = request->bufsml;
    request->nbufs = count;
    request->write_index = 0;
    for (unsigned i = 0; i < count; i++) {
        request->bufsml[i] = bufs[i];
        stream->write_queue_size += bufs[i].len;
    }
    bool is_first = stage_ring_is_empty(stream->write_queue);
    stage_ring_append(stream->write_queue, request->queue);
    if (is_first) {
        push_writes(stream);
    }
    return 0;
}

static void run_completed(uv_stream_t *stream) {
    stage_ring now;
    stage_ring_move(stream->write_completed_queue, now);
    while (!stage_ring_is_empty(now)) {
        uv_write_t *request = first_write(now);
        stage_ring_remove(request->queue);
        for (unsigned i = request->write_index; i < request->nbufs; i++) {
            stream->write_queue_size -= request->bufs[i].len;
        }
        loop_request_gone(stream->loop);
        if (request->cb != NULL) {
            request->cb(request, request->error);
        }
    }
}

int uv_shutdown(uv_shutdown_t *request, uv_stream_t *stream, uv_shutdown_cb cb) {
    const struct socket_end *end = end_of(stream);
    if (end == NULL || !end->is_open || end->is_shut || stream->shutdown_req != NULL ||
        (stream->flags & LOOP_CLOSING) != 0) {
        return UV_ENOTCONN;
    }
    loop_request_init(stream->loop, (uv_req_t *)request, UV_SHUTDOWN);
    request->handle = stream;
    request->cb = cb;
    stream->shutdown_req = request;
    loop_handle_ready((uv_handle_t *)stream);
    return 0;
}

static void end_shutdown(uv_stream_t *stream, int status) {
    uv_shutdown_t *request = stream->shutdown_req;
    stream->shutdown_req = NULL;
    loop_request_gone(stream->loop);
    if (request->cb != NULL) {
        request->cb(request, status);
    }
}

static void run_shutdown(uv_stream_t *stream) {
    if (stream->shutdown_req != NULL && stage_ring_is_empty(stream->write_queue)) {
        int status = end_of(stream)->status == 0 ? 0 : UV_ENOTCONN;
        socket_shut(end_of(stream));
        end_shutdown(stream, status);
    }
}

/* --- What the loop calls */

static bool is_closing(const uv_stream_t *stream) {
    return (stream->flags & (LOOP_CLOSING | LOOP_CLOSED)) != 0;
}

static bool is_connect_over(const uv_stream_t *stream) {
    const struct socket_end *end = end_of(stream);
    return stream->connect_req != NULL && (end->is_open || end->status != 0);
}

void tcp_ready(uv_tcp_t *tcp) {
    uv_stream_t *stream = stream_of(tcp);
    if (listener_of(stream) != NULL) {
        run_listener(stream);
        return;
    }
    if (is_connect_over(stream)) {
        end_connect(stream, end_of(stream)->status);
    }
    if (!is_closing(stream) && stream->connect_req == NULL) {
        run_reads(stream);
    }
    if (!is_closing(stream) && end_of(stream) != NULL) {
        push_writes(stream);
        run_completed(stream);
    }
    if (!is_closing(stream) && end_of(stream) != NULL) {
        run_shutdown(stream);
    }
}

void tcp_request_done(uv_req_t *request) {
    CHECK(request->type == UV_GETADDRINFO);
    uv_getaddrinfo_t *lookup = (uv_getaddrinfo_t *)request;
    loop_request_gone(lookup->loop);
    lookup->cb(lookup, lookup->retcode, lookup->addrinfo);
}

void tcp_close(uv_tcp_t *tcp) {
    uv_stream_t *stream = stream_of(tcp);
    uv_read_stop(stream);
    stream->connection_cb = NULL;
    if (listener_of(stream) != NULL) {
        socket_listener_close(listener_of(stream));
        stream->u.reserved[1] = NULL;
    }
    if (end_of(stream) != NULL) {
        socket_close(end_of(stream));
        stream->u.reserved[0] = NULL;
    }
}

void tcp_finish_close(uv_tcp_t *tcp) {
    uv_stream_t *stream = stream_of(tcp);
    if (stream->connect_req != NULL) {
        end_connect(stream, UV_ECANCELED);
    }
    uv_write_t *request;
    while ((request = first_write(stream->write_queue)) != NULL) {
        complete(stream, request, UV_ECANCELED);
    }
    run_completed(stream);
    if (stream->shutdown_req != NULL) {
        end_shutdown(stream, UV_ECANCELED);
    }
}
