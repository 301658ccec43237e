/* The key service of the tests: see kds_process.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/endorse/test/kds_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attest/endorse/kds_http.h"
#include "attest/snp_product.h"
#include "lib/base/file.h"

#define SERVER "attest/endorse/test/kds_server.py"

/* ---- the process ---- */

static void make_tls(const struct kds_process *p) {
    char command[512];
    snprintf(
        command, sizeof command,
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
        "-subj /CN=test -addext subjectAltName=IP:127.0.0.1 -keyout %s/tls.key -out %s/tls.pem "
        "2>/dev/null",
        p->folder, p->folder);
    CHECK(system(command) == 0); // NOLINT(cert-env33-c): a fixed command of a test
}

_Noreturn static void become_server(const struct kds_process *p, bool with_tls, int in, int out) {
    char cert[96];
    char key[96];
    snprintf(cert, sizeof cert, "%s/tls.pem", p->folder);
    snprintf(key, sizeof key, "%s/tls.key", p->folder);
    CHECK(dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0);
    execlp("python3", "python3", "-B", SERVER, p->folder, with_tls ? cert : NULL, key, NULL);
    _exit(127);
}

static void read_ports(struct kds_process *p, int from) {
    FILE *f = fdopen(from, "r");
    char line[64] = "";
    CHECK(f != NULL && fgets(line, sizeof line, f) != NULL);
    char *rest = line;
    p->port = (int)strtol(line, &rest, 10);
    p->tls_port = (int)strtol(rest, NULL, 10);
    CHECK(p->port > 0);
    (void)fclose(f);
}

void kds_process_start(struct kds_process *p, bool with_tls) {
    int input[2];
    int output[2];
    *p = (struct kds_process){.folder = "/tmp/contrast-kds-XXXXXX"};
    CHECK(mkdtemp(p->folder) != NULL);
    if (with_tls) {
        make_tls(p);
    }
    setenv("no_proxy", "127.0.0.1", 1);
    CHECK(pipe2(input, O_CLOEXEC) == 0 && pipe2(output, O_CLOEXEC) == 0);
    p->pid = fork();
    CHECK(p->pid >= 0);
    if (p->pid == 0) {
        become_server(p, with_tls, input[0], output[1]);
    }
    close(input[0]);
    close(output[1]);
    p->input = input[1];
    read_ports(p, output[0]);
}

static void remove_folder(const char *folder) {
    char path[512];
    DIR *dir = opendir(folder);
    CHECK(dir != NULL);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
            CHECK(unlink(path) == 0);
        }
    }
    closedir(dir);
    CHECK(rmdir(folder) == 0);
}

void kds_process_stop(struct kds_process *p) {
    int status = 0;
    close(p->input);
    CHECK(waitpid(p->pid, &status, 0) == p->pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    remove_folder(p->folder);
}

const char *kds_process_base(struct kds_process *p, const char *mode) {
    snprintf(p->base, sizeof p->base, "http://127.0.0.1:%d/%s", p->port, mode);
    return p->base;
}

unsigned kds_process_count(const struct kds_process *p, const char *mode) {
    const struct kds_http_config config = {.connect_ms = 5000, .total_ms = 5000};
    struct kds_http *http = NULL;
    struct kds_http_answer answer = {0};
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/count/%s", p->port, mode);
    CHECK(is_ok(kds_http_open(&config, &http, NULL)));
    CHECK(is_ok(kds_http_get(http, url, 16, &answer, NULL)) && answer.status == 200);
    unsigned count = (unsigned)strtoul(buf_cstr(&answer.body), NULL, 10);
    kds_http_answer_deinit(&answer);
    kds_http_close(http);
    return count;
}

/* ---- what it serves ---- */

void kds_process_put(const struct kds_process *p, const char *name, struct span bytes) {
    char path[512];
    struct err err = {0};
    CHECK((size_t)snprintf(path, sizeof path, "%s/%s", p->folder, name) < sizeof path);
    CHECK(is_ok(file_write(path, bytes, 0600, &err)));
}

void kds_process_put_vek(const struct kds_process *p, enum snp_product product, struct span hwid,
                         const struct snp_tcb *tcb, struct span der) {
    char id[129];
    char fmc[8] = "";
    char name[256];
    CHECK(hwid.size <= 64);
    hex_encode(hwid, id);
    if (product == SNP_TURIN) {
        snprintf(fmc, sizeof fmc, "-%02u", tcb->fmc);
    }
    snprintf(name, sizeof name, "%s-%s-%02u-%02u-%02u-%02u%s.der", snp_product_line(product), id,
             tcb->bootloader, tcb->tee, tcb->snp, tcb->microcode, fmc);
    kds_process_put(p, name, der);
}

static void append_pem(struct buf *out, struct span der) {
    buf_append_str(out, "-----BEGIN CERTIFICATE-----\n");
    for (size_t at = 0; at < der.size; at += 48) { /* 64 characters a line: RFC 7468 section 2 */
        size_t n = der.size - at < 48 ? der.size - at : 48;
        base64_encode(span_of(der.data + at, n), out);
        buf_append_str(out, "\n");
    }
    buf_append_str(out, "-----END CERTIFICATE-----\n");
}

void kds_process_put_machine(const struct kds_process *p, const struct snp_fixture *f,
                             struct snp_endorsement_key *key) {
    size_t used = f->product == SNP_TURIN ? 8 : 64;
    AUTO(buf_deinit)
    struct buf chain = {0};
    char name[64];
    append_pem(&chain, buf_span(&f->ask));
    append_pem(&chain, buf_span(&f->ark));
    snprintf(name, sizeof name, "%s-vcek-cert_chain.pem", snp_product_line(f->product));
    kds_process_put(p, name, buf_span(&chain));
    kds_process_put_vek(p, f->product, span_of(f->chip_id, used), &f->tcb, buf_span(&f->vcek));
    kds_process_put(p, "any.der", buf_span(&f->vcek));
    if (key != NULL) {
        *key = (struct snp_endorsement_key){.product = f->product};
        memcpy(key->chip_id, f->chip_id, sizeof key->chip_id);
        snp_tcb_encode(f->product, &f->tcb, key->tcb);
    }
}
