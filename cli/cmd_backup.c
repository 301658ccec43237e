/* contrast backup.
 *
 *   verified replica -> checkpoint_file_fetch -> FILE        --show: FILE -> its header
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_backup.h"

#include "cli/checkpoint_file.h"

struct backup_run {
    struct cli *cli;
    const char *coordinators;
    const char *manifest;
    const char *out;
    const char *show;
    struct trust trust;
    struct checkpoint_file file;
};

static RESULT fetch(struct backup_run *run, const struct dial_address *address, struct err *err) {
    struct dial *dial = NULL;
    struct remote remote = {0};
    struct result r = dial_open(address, &dial, err);
    r = is_ok(r) ? trust_judge(&run->trust, dial, TRUST_BY_NEWEST, &remote, err) : r;
    if (is_ok(r) && remote.history->generation == 0) {
        r = err_set(err, ERR_NOT_FOUNDED, "%s: no manifest is set: there is nothing to back up",
                    address->text);
    }
    r = is_ok(r) ? checkpoint_file_fetch(dial, &remote, &run->file, err) : r;
    remote_deinit(&remote);
    dial_close(dial);
    return r;
}

static RESULT fetch_any(struct backup_run *run, const struct dial_list *addresses,
                        struct err *err) {
    struct result r = OK;
    for (size_t i = 0; i < addresses->count; i++) {
        r = fetch(run, &addresses->items[i], err);
        if (err_exit_code(r.code) != 1) {
            return r;
        }
        if (i + 1 < addresses->count) {
            log_warn("%s", err->text);
        }
    }
    return r;
}

static void print(struct backup_run *run, const char *path) {
    if (run->cli->json) {
        json_t *o = checkpoint_file_to_json(&run->file);
        json_object_set_new(o, "file", json_string(path));
        cli_print_json(run->cli, o);
        return;
    }
    AUTO(buf_deinit)
    struct buf out = {0};
    if (run->out != NULL) {
        buf_appendf(&out, "✔ Wrote the sealed checkpoint to %s\n", path);
    }
    checkpoint_file_describe(&run->file, &out);
    cli_print_text(buf_span(&out));
}

static RESULT backup(struct backup_run *run, int argc, char **argv, struct err *err) {
    const struct cli_option options[] = {
        {"coordinator", 'c', CLI_STRING, (void *)&run->coordinators},
        {"manifest", 'm', CLI_STRING, (void *)&run->manifest},
        {"out", 0, CLI_STRING, (void *)&run->out},
        {"show", 0, CLI_STRING, (void *)&run->show},
    };
    struct dial_list addresses;
    TRY(cli_parse(run->cli, options, sizeof options / sizeof options[0], argc, argv, NULL, err));
    ENSURE((run->out == NULL) != (run->show == NULL), err, USAGE,
           "want either --out or --show; see --help");
    if (run->show != NULL) {
        TRY(checkpoint_file_read(run->show, &run->file, err));
        print(run, run->show);
        return OK;
    }
    TRY(dial_parse(run->coordinators, &addresses, err));
    TRY(trust_load(run->cli->workspace, run->manifest, true, &run->trust, err));
    TRY(fetch_any(run, &addresses, err));
    TRY(checkpoint_file_write(&run->file, run->out, err));
    print(run, run->out);
    return OK;
}

struct result cmd_backup(struct cli *cli, int argc, char **argv, struct err *err) {
    struct backup_run *run = mem_zalloc(sizeof *run);
    run->cli = cli;
    struct result r = backup(run, argc, argv, err);
    trust_deinit(&run->trust);
    checkpoint_file_deinit(&run->file);
    mem_free(run);
    return r;
}
