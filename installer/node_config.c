/* Node configuration: a table per object over lib/manifest's reader, then what the tables cannot
 * say.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_config.h"

#include <jansson.h>
#include <string.h>

#include "installer/node_root.h"
#include "lib/base/limits.h"
#include "lib/manifest/reader.h"

#define BASE "@@runtimeBase@@/"
#define NAME "@@runtimeName@@"
#define BASE_WITH_NAME NODE_RUNTIME_ROOT "/" NAME "/"

/* What the tables fill: the config, and what is checked when all of it is known. */
struct parse {
    struct node_config config;
    const char *platform;
    const char *kernel_params_more;
    bool is_debug;
    const json_t *kata;
    struct node_file *file; /* that the table of a file fills */
};

/* --- A file */

static bool is_printable(const char *text) {
    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f) {
            return false;
        }
    }
    return true;
}

static void read_url(struct reader *r, const json_t *value, void *target) {
    struct parse *p = target;
    p->file->url = reader_copy(r, value);
    const char *url = p->file->url;
    bool is_file = strncmp(url, "file:///", 8) == 0;
    if (!is_file && strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0) {
        reader_complain(r, "must begin with file:///, https:// or http://");
    } else if (strlen(url) > LIMIT_NODE_URL || !is_printable(url)) {
        reader_complain(r, "too long, or with a blank or a control character");
    } else if (!is_file &&
               memchr(strstr(url, "//") + 2, '@', strcspn(strstr(url, "//") + 2, "/"))) {
        reader_complain(r, "must not hold a user or a password: they would stand in logs");
    }
}

static const char *strip(const char *path, const char *prefix) {
    size_t size = strlen(prefix);
    return strncmp(path, prefix, size) == 0 ? path + size : NULL;
}

/* No empty, "." or ".." part, nothing that a terminal would not show. */
static bool is_plain_path(const char *path) {
    if (path[0] == '\0' || strlen(path) > LIMIT_NODE_PATH || !is_printable(path)) {
        return false;
    }
    for (const char *part = path;; part++) {
        size_t size = strcspn(part, "/");
        if (size == 0 || (size == 1 && part[0] == '.') ||
            (size == 2 && part[0] == '.' && part[1] == '.')) {
            return false;
        }
        part += size;
        if (*part == '\0') {
            return true;
        }
    }
}

static void read_path(struct reader *r, const json_t *value, void *target) {
    struct parse *p = target;
    const char *path = reader_copy(r, value);
    const char *rest = strip(path, BASE);
    if (rest == NULL) {
        rest = strip(path, BASE_WITH_NAME);
    }
    if (rest == NULL) {
        reader_complain(r, "must begin with " BASE);
    } else if (!is_plain_path(rest) || strstr(rest, "@@") != NULL) {
        reader_complain(r, "must be a plain path: no \"..\", no empty part, no blank");
    } else if (node_root_is_temp(strrchr(path, '/') + 1)) {
        reader_complain(r, "must not be named as the installer's half-written files");
    } else {
        p->file->path = rest;
    }
}

static void read_integrity(struct reader *r, const json_t *value, void *target) {
    struct parse *p = target;
    const char *text = reader_string(r, value);
    struct err err;
    if (text != NULL && text[0] != '\0' && !is_ok(sri_parse(text, &p->file->integrity, &err))) {
        reader_complain(r, err.text);
    }
}

static void read_executable(struct reader *r, const json_t *value, void *target) {
    ((struct parse *)target)->file->is_executable = reader_bool(r, value);
}

static const struct reader_field FILE_FIELDS[] = {
    {"url", true, read_url},
    {"path", true, read_path},
    {"integrity", false, read_integrity},
    {"executable", false, read_executable},
};

/* The same path, or one would be a folder. */
static bool is_in_the_way(const char *a, const char *b) {
    size_t least = strlen(a) < strlen(b) ? strlen(a) : strlen(b);
    return strncmp(a, b, least) == 0 && (a[least] == '\0' || a[least] == '/') &&
           (b[least] == '\0' || b[least] == '/');
}

static void check_file(struct reader *r, const struct parse *p, size_t index) {
    const struct node_file *file = &p->config.files[index];
    if (file->url != NULL && strncmp(file->url, "http", 4) == 0 && file->integrity.size == 0) {
        reader_complain_at(r, "integrity",
                           "needed for what comes over a network: \"sha256-<base64>\"");
    }
    for (size_t i = 0; i < index && file->path != NULL; i++) {
        const char *other = p->config.files[i].path;
        if (other != NULL && is_in_the_way(other, file->path)) {
            reader_complain_at(r, "path", "another file has this path, or one above or below it");
        }
    }
}

static void read_files(struct reader *r, const json_t *value, void *target) {
    struct parse *p = target;
    size_t count = reader_list(r, value, LIMIT_NODE_FILES);
    p->config.files = arena_alloc(r->arena, (count + 1) * sizeof *p->config.files);
    for (size_t i = 0; i < count; i++) {
        size_t old = reader_enter_index(r, i);
        p->file = &p->config.files[i];
        READER_OBJECT(r, json_array_get(value, i), FILE_FIELDS, p);
        check_file(r, p, i);
        reader_leave(r, old);
    }
    p->config.file_count = count;
    if (count == 0) {
        reader_complain(r, "must not be empty: what is there to install?");
    }
}

/* --- kata */

static void read_kata_file(struct reader *r, const json_t *value, const char **out) {
    const char *text = reader_copy(r, value);
    const char *rest = strip(text, BASE);
    *out = rest != NULL ? rest : text;
    if (text[0] != '\0' && !is_plain_path(*out)) {
        reader_complain(r, "must be a path below the runtime's folder, as \"share/kernel\"");
    }
}

static void read_kata_text(struct reader *r, const json_t *value, const char **out) {
    *out = reader_copy(r, value);
    if (strlen(*out) > LIMIT_NODE_TEXT) {
        reader_complain(r, "too long");
    }
}

#define FILE_FIELD(name)                                                                           \
    static void read_##name(struct reader *r, const json_t *value, void *target) {                 \
        read_kata_file(r, value, &((struct kata_settings *)target)->name);                         \
    }
#define TEXT_FIELD(name)                                                                           \
    static void read_##name(struct reader *r, const json_t *value, void *target) {                 \
        read_kata_text(r, value, &((struct kata_settings *)target)->name);                         \
    }
#define COUNT_FIELD(name, least, most)                                                             \
    static void read_##name(struct reader *r, const json_t *value, void *target) {                 \
        uint64_t n = reader_number(r, value, most);                                                \
        if (n < (least)) {                                                                         \
            reader_complainf(r, "must be at least %d", least);                                     \
        }                                                                                          \
        ((struct kata_settings *)target)->name = (unsigned)n;                                      \
    }
FILE_FIELD(igvm)
FILE_FIELD(kernel)
FILE_FIELD(initrd)
FILE_FIELD(image)
FILE_FIELD(firmware)
TEXT_FIELD(kernel_params)
TEXT_FIELD(kernel_verity_params)
TEXT_FIELD(snp_id_block)
TEXT_FIELD(snp_id_auth)
COUNT_FIELD(default_vcpus, 1, 220)
COUNT_FIELD(default_memory, 64, 1u << 20)
COUNT_FIELD(dial_timeout, 1, 3600)
COUNT_FIELD(create_container_timeout, 1, 7200)

static void read_hypervisor(struct reader *r, const json_t *value, void *target) {
    struct kata_settings *s = target;
    read_kata_file(r, value, &s->path);
    if (s->path[0] == '\0') {
        reader_complain(r, "must not be empty");
    }
}

static void read_rootfs_type(struct reader *r, const json_t *value, void *target) {
    struct kata_settings *s = target;
    s->rootfs_type = reader_copy(r, value);
    if (strcmp(s->rootfs_type, "ext4") != 0 && strcmp(s->rootfs_type, "erofs") != 0 &&
        strcmp(s->rootfs_type, "xfs") != 0) {
        reader_complain(r, "must be ext4, erofs or xfs");
    }
}

/* AMD, "SEV-SNP Firmware ABI", table 9: bit 17 is always one, bit 19 allows debugging. */
static void read_guest_policy(struct reader *r, const json_t *value, void *target) {
    uint64_t policy = reader_mask(r, value);
    if ((policy & UINT64_C(0x20000)) == 0 || (policy & UINT64_C(0x80000)) != 0) {
        reader_complain(r, "bit 17 must be one, and bit 19 (debugging) zero");
    }
    ((struct kata_settings *)target)->snp_guest_policy = policy;
}

static void read_guest_pull(struct reader *r, const json_t *value, void *target) {
    ((struct kata_settings *)target)->is_guest_pull = reader_bool(r, value);
}

static const struct reader_field KATA_FIELDS[] = {
    {"path", false, read_hypervisor},
    {"igvm", false, read_igvm},
    {"kernel", false, read_kernel},
    {"initrd", false, read_initrd},
    {"image", false, read_image},
    {"firmware", false, read_firmware},
    {"rootfs_type", false, read_rootfs_type},
    {"kernel_params", false, read_kernel_params},
    {"kernel_verity_params", false, read_kernel_verity_params},
    {"snp_id_block", false, read_snp_id_block},
    {"snp_id_auth", false, read_snp_id_auth},
    {"snp_guest_policy", false, read_guest_policy},
    {"default_vcpus", false, read_default_vcpus},
    {"default_memory", false, read_default_memory},
    {"dial_timeout", false, read_dial_timeout},
    {"create_container_timeout", false, read_create_container_timeout},
    {"experimental_force_guest_pull", false, read_guest_pull},
};

/* --- The document */

static void read_version(struct reader *r, const json_t *value, void *target) {
    (void)target;
    uint64_t version = reader_number(r, value, UINT32_MAX);
    if (version == 0) {
        reader_complainf(r, "must be %d", NODE_CONFIG_VERSION);
    } else if (version > NODE_CONFIG_VERSION) {
        reader_complainf(r, "is newer than this installer, which knows %d: update its image",
                         NODE_CONFIG_VERSION);
    }
}

static void read_platform(struct reader *r, const json_t *value, void *target) {
    ((struct parse *)target)->platform = reader_copy(r, value);
}

static void read_kata(struct reader *r, const json_t *value, void *target) {
    (void)r;
    ((struct parse *)target)->kata = value;
}

/* A Kubernetes RuntimeClass's handler: RFC 1123 label. */
static void read_handler(struct reader *r, const json_t *value, void *target) {
    const char *text = reader_copy(r, value);
    size_t size = strlen(text);
    if (size == 0) {
        return;
    }
    if (strncmp(text, "contrast-cc-", 12) != 0 || size > 63 ||
        strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") != size || text[size - 1] == '-') {
        reader_complain(r, "must be contrast-cc-... of at most 63 lower-case letters, digits and "
                           "hyphens");
    }
    ((struct parse *)target)->config.handler = text;
}

static void read_more_params(struct reader *r, const json_t *value, void *target) {
    read_kata_text(r, value, &((struct parse *)target)->kernel_params_more);
}

static void read_debug(struct reader *r, const json_t *value, void *target) {
    ((struct parse *)target)->is_debug = reader_bool(r, value);
}

static const struct reader_field FIELDS[] = {
    {"version", false, read_version},
    {"platform", false, read_platform},
    {"files", true, read_files},
    {"kata", false, read_kata},
    {"runtimeHandlerName", false, read_handler},
    {"qemuExtraKernelParams", false, read_more_params},
    {"debugRuntime", false, read_debug},
};

static void choose_platform(struct reader *r, struct parse *p, const char *wanted) {
    const char *name = p->platform != NULL ? p->platform : wanted;
    if (name == NULL) {
        reader_complain_at(r, "platform", "missing, and the command line has none either");
        return;
    }
    p->config.platform = kata_platform_find(name);
    if (p->config.platform == NULL) {
        AUTO(buf_deinit)
        struct buf names = {0};
        kata_platform_names(&names);
        reader_complainf(r, "platform: there is no \"%.64s\"; there are %s", name,
                         buf_cstr(&names));
    } else if (wanted != NULL && kata_platform_find(wanted) != p->config.platform) {
        reader_complainf(r, "platform: is %s, but the command line says \"%.64s\"",
                         p->config.platform->name, wanted);
    }
}

/* What the Kata configuration names must be among the files. */
static void check_kata_files(struct reader *r, const struct parse *p) {
    const struct kata_settings *s = &p->config.kata;
    const struct {
        const char *name;
        const char *path;
    } roles[] = {{"path", s->path},     {"igvm", s->igvm},   {"kernel", s->kernel},
                 {"initrd", s->initrd}, {"image", s->image}, {"firmware", s->firmware}};
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (roles[i].path[0] != '\0' && node_config_file(&p->config, roles[i].path) == NULL) {
            reader_complainf(r,
                             "kata.%s: " BASE "%s is not among the files; add it, or set "
                             "kata.%s to what is",
                             roles[i].name, roles[i].path, roles[i].name);
        }
    }
    if (node_config_file(&p->config, kata_config_path(p->config.platform)) != NULL) {
        reader_complainf(r, "files: %s is written by the installer; remove it",
                         kata_config_path(p->config.platform));
    }
}

static void read_settings(struct reader *r, struct parse *p) {
    struct kata_settings *s = &p->config.kata;
    *s = kata_settings_default(p->config.platform);
    if (p->kata != NULL) {
        size_t old = reader_enter(r, "kata");
        READER_OBJECT(r, p->kata, KATA_FIELDS, s);
        reader_leave(r, old);
    }
    s->is_debug = p->is_debug;
    if (p->kernel_params_more != NULL && p->kernel_params_more[0] != '\0') {
        AUTO(buf_deinit)
        struct buf both = {0};
        buf_appendf(&both, "%s%s%s", s->kernel_params, s->kernel_params[0] != '\0' ? " " : "",
                    p->kernel_params_more);
        s->kernel_params = arena_strndup(r->arena, (const char *)both.data, both.size);
    }
    check_kata_files(r, p);
}

static RESULT read_document(const json_t *root, const char *platform, struct parse *p,
                            struct err *err) {
    AUTO(buf_deinit)
    struct buf problems = {0};
    struct reader r = {.arena = &p->config.arena};
    READER_OBJECT(&r, root, FIELDS, p);
    choose_platform(&r, p, platform);
    if (p->config.platform != NULL) {
        read_settings(&r, p);
    }
    problems = r.problems;
    ENSURE(problems.size == 0, err, CONFIG, "%s", buf_cstr(&problems));
    return OK;
}

RESULT node_config_parse(struct span json, const char *platform, struct node_config *out,
                         struct err *err) {
    ENSURE(json.size <= LIMIT_NODE_CONFIG, err, CONFIG, "more than %d bytes", LIMIT_NODE_CONFIG);
    json_error_t error;
    json_t *root = json_loadb((const char *)json.data, json.size, JSON_REJECT_DUPLICATES, &error);
    ENSURE(root != NULL, err, CONFIG, "line %d, column %d: %s", error.line, error.column,
           error.text);
    struct parse p = {0};
    struct result result = read_document(root, platform, &p, err);
    json_decref(root);
    if (!is_ok(result)) {
        node_config_deinit(&p.config);
        return result;
    }
    *out = p.config;
    return OK;
}

void node_config_deinit(struct node_config *c) {
    arena_deinit(&c->arena);
    *c = (struct node_config){0};
}

const struct node_file *node_config_file(const struct node_config *c, const char *path) {
    for (size_t i = 0; i < c->file_count; i++) {
        if (c->files[i].path != NULL && strcmp(c->files[i].path, path) == 0) {
            return &c->files[i];
        }
    }
    return NULL;
}
