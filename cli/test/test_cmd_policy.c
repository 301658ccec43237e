/* The program itself: contrast generate and contrast policy from the outside.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/policy/policy_text.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/crypto/digest.h"
#include "lib/crypto/key.h"

static const char *program;

struct fixture {
    char dir[64];
    struct buf out; /* standard output of the last command */
    int status;     /* its exit code */
};

static void run(struct fixture *f, const char *format, ...) PRINTF_LIKE(2, 3);

/* Runs `contrast ARGUMENTS` in the fixture's folder. */
static void run(struct fixture *f, const char *format, ...) {
    char arguments[512];
    char command[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(arguments, sizeof arguments, format, args);
    va_end(args);
    (void)snprintf(command, sizeof command, "cd %s && '%s' %s 2>stderr", f->dir, program,
                   arguments);
    FILE *pipe = popen(command, "r"); /* NOLINT(cert-env33-c) */
    assert_non_null(pipe);
    buf_clear(&f->out);
    char chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, pipe)) > 0;) {
        buf_append(&f->out, chunk, n);
    }
    f->status = WEXITSTATUS(pclose(pipe));
}

static void put(const struct fixture *f, const char *name, struct span text) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
    assert_true(is_ok(file_write(path, text, 0644, NULL)));
}

static struct buf get(const struct fixture *f, const char *name) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
    struct buf text = {0};
    assert_true(is_ok(file_read(path, LIMIT_YAML_FILE, &text, NULL)));
    return text;
}

static const char pods[] =
    "kind: Pod\nmetadata:\n  name: boss\n  annotations:\n"
    "    contrast.edgeless.systems/pod-role: coordinator\nspec:\n  containers:\n"
    "  - {name: b, image: i, command: [c]}\n---\nkind: Pod\nmetadata:\n  name: worker\nspec:\n"
    "  containers:\n  - {name: w, image: i, command: [c]}\n";

#define M16 "1111111111111111"
static const char references[] =
    "[{\"ProductName\":\"Genoa\",\"TrustedMeasurement\":\"" M16 M16 M16 M16 M16 M16 "\","
    "\"MinimumTCB\":{\"BootloaderVersion\":4,\"TEEVersion\":0,\"SNPVersion\":24,"
    "\"MicrocodeVersion\":219},\"GuestPolicy\":{\"SMT\":true}}]";

/* One RSA key for the whole program: making it takes seconds. */
static struct buf share_pem;

static int make_share(void **state) {
    (void)state;
    AUTO(key_deinit)
    struct key key = {0};
    assert_true(is_ok(key_generate(KEY_RSA, &key, NULL)));
    key_to_pem(&key, true, &share_pem);
    return 0;
}

static int free_share(void **state) {
    (void)state;
    buf_deinit(&share_pem);
    return 0;
}

static int setup(void **state) {
    static struct fixture f;
    f = (struct fixture){.dir = "/tmp/contrast-policy-XXXXXX"};
    assert_non_null(mkdtemp(f.dir));
    put(&f, "seedshare-owner.pem", buf_span(&share_pem));
    put(&f, "pods.yaml", span_str(pods));
    put(&f, "refs.json", span_str(references));
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    static const char *const names[] = {"pods.yaml",  "refs.json",          "manifest.json",
                                        "rules.rego", "workload-owner.pem", "seedshare-owner.pem",
                                        "stderr",     "cases.json",         "other.rego"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", f->dir, names[i]);
        (void)unlink(path);
    }
    buf_deinit(&f->out);
    assert_int_equal(rmdir(f->dir), 0);
    return 0;
}

static void test_rules_and_hash_of_a_document(void **state) {
    struct fixture *f = *state;
    run(f, "policy rules");
    assert_int_equal(f->status, 0);
    assert_true(span_equal(buf_span(&f->out), policy_rules()));
    put(f, "rules.rego", policy_rules());
    uint8_t digest[32];
    char want[128];
    sha256(policy_rules(), digest);
    hex_encode(SPAN(digest), want);
    (void)snprintf(want + 64, sizeof want - 64, "  document/rules.rego\n");
    run(f, "policy hash rules.rego");
    assert_string_equal(buf_cstr(&f->out), want);
}

/* generate's report, policy hash and the manifest name the same hashes. */
static void test_hashes_agree(void **state) {
    struct fixture *f = *state;
    run(f, "generate --skip-images --log-level error --output json --reference-values refs.json "
           "pods.yaml");
    assert_int_equal(f->status, 0);
    json_t *report = json_loadb((const char *)f->out.data, f->out.size, 0, NULL);
    struct buf text = get(f, "manifest.json");
    json_t *manifest = json_loadb((const char *)text.data, text.size, 0, NULL);
    run(f, "policy hash --output json pods.yaml");
    json_t *hashes = json_loadb((const char *)f->out.data, f->out.size, 0, NULL);
    for (size_t i = 0; i < 2; i++) {
        const json_t *a = json_array_get(json_object_get(report, "policies"), i);
        const json_t *b = json_array_get(json_object_get(hashes, "policies"), i);
        const char *hash = json_string_value(json_object_get(a, "hash"));
        assert_string_equal(hash, json_string_value(json_object_get(b, "hash")));
        assert_non_null(json_object_get(json_object_get(manifest, "Policies"), hash));
        assert_string_equal(json_string_value(json_object_get(a, "kind")), "Pod");
        assert_string_equal(json_string_value(json_object_get(a, "file")), "pods.yaml");
    }
    assert_int_equal(json_object_size(json_object_get(manifest, "Policies")), 2);
    json_decref(report);
    json_decref(hashes);
    json_decref(manifest);
    buf_deinit(&text);
    run(f, "policy show pods.yaml");
    assert_non_null(strstr(buf_cstr(&f->out), "# Pod/worker "));
    assert_non_null(strstr(buf_cstr(&f->out), "\npolicy_data := {\n"));
}

static void test_mistakes_exit_2_with_the_place(void **state) {
    struct fixture *f = *state;
    put(f, "pods.yaml", span_str("kind: Pod\nspec: [1\nmetadata: x\n"));
    run(f, "generate --reference-values refs.json pods.yaml");
    assert_int_equal(f->status, 2);
    struct buf text = get(f, "stderr");
    assert_non_null(strstr(buf_cstr(&text), "contrast generate: pods.yaml:"));
    buf_deinit(&text);
    put(f, "pods.yaml", span_str(pods));
    run(f, "policy show pods.yaml");
    assert_int_equal(f->status, 2);
    run(f, "policy hash");
    assert_int_equal(f->status, 2);
    run(f, "generate pods.yaml");
    assert_int_equal(f->status, 2);
    struct buf now = get(f, "pods.yaml");
    assert_string_equal(buf_cstr(&now), pods);
    buf_deinit(&now);
}

/* --- show, diff and check */

static void expect_error(const struct fixture *f, int status, const char *want) {
    struct buf text = get(f, "stderr");
    if (f->status != status || strstr(buf_cstr(&text), want) == NULL) {
        fail_msg("exit %d, want %d: %s", f->status, status, buf_cstr(&text));
    }
    buf_deinit(&text);
}

/* Rules in the form of ours, small: the judge explains any. */
static const char small_rego[] =
    "package agent_policy\n\nimport future.keywords.if\n\ndefault CreateContainerRequest := false\n"
    "default CopyFileRequest := false\n\n# Braces } and { in comments and \"strings {\" do not "
    "count\n"
    "CreateContainerRequest := {\"allowed\": true, \"ops\": ops} if {\n"
    "    index := matches[0]\n"
    "    ops := [{\"op\": \"add\", \"path\": \"/pstate/last\", \"value\": index}]\n}\n\n"
    "matches := [i | c := policy_data.containers[i]; container_ok(c)]\n\n"
    "container_ok(c) if {\n    c.name == input.name\n    process_ok(c, input.OCI.Process)\n"
    "    count([m | m := input.OCI.Mounts[_]; not mount_ok(c, m)]) == 0\n    partial_ok\n}\n\n"
    "process_ok(c, p) if {\n    p.Args == c.args\n    kinds[p.Kind]\n    env_ok(c, p.Env)\n}\n\n"
    "env_ok(c, given) if {\n    wanted := {e | e := c.env[_]}\n"
    "    count([g | g := given[_]; not wanted[g]; not open_ok(g)]) == 0\n"
    "    count(wanted - {g | g := given[_]}) == 0\n}\n\n"
    "open_ok(g) if {\n    startswith(g, \"OPEN=\")\n}\n\n"
    "kinds := {\"a\", \"b\"}\n\nmount_ok(c, m) if {\n    m.source == \"x\"\n}\n\n"
    "mount_ok(c, m) if {\n    c.special\n    m.source == \"y\"\n}\n\n"
    "partial_ok if {\n    policy_data.partial\n}\n\npartial_ok if {\n    input.whole == true\n}\n\n"
    "CopyFileRequest if {\n    regex.match(\"^/a/\", input.path)\n    input.mode <= 4\n}\n\n"
    "RemoveContainerRequest if {\n    is_number(known)\n}\n\n"
    "known := data.pstate[concat(\"\", [\"c:\", input.container_id])]\n\n"
    "UpdateRoutesRequest if {\n    open_ok(input.routes)\n}\n\n"
    "policy_data := {\n \"containers\": [\n"
    "  {\"args\": [\"/pause\"], \"env\": [], \"name\": \"\", \"sandbox\": true},\n"
    "  {\"args\": [\"/web\", \"-v\"], \"env\": [\"A=1\"], \"name\": \"web\"},\n"
    "  {\"args\": [\"/db\"], \"env\": [], \"name\": \"db\", \"special\": true}\n ]\n}\n";

#define REQUEST(name, args, kind, env, mounts)                                                     \
    "{\"kind\": \"CreateContainerRequest\", \"allowed\": false, \"request\": {\"name\": \"" name   \
    "\", \"whole\": true, \"OCI\": {\"Process\": {\"Args\": " args ", \"Kind\": \"" kind           \
    "\", \"Env\": " env "}, \"Mounts\": " mounts "}}}"

static bool has_judge(void) {
    char path[1024];
    (void)snprintf(path, sizeof path, "%s-policy-judge", program);
    if (access(path, X_OK) != 0 && getenv("CI") != NULL) {
        fail_msg("%s was not built", path);
    }
    return access(path, X_OK) == 0;
}

static void test_check_says_why(void **state) {
    static const struct {
        const char *request;
        const char *want;
    } rows[] = {
        {REQUEST("web", "[\"/web\"]", "a", "[]", "[]"),
         "container web: OCI.Process.Args: policy [\"/web\",\"-v\"], request [\"/web\"] (rule "
         "process_ok: p.Args == c.args)"},
        {REQUEST("web", "[\"/web\",\"-v\"]", "z", "[]", "[]"),
         "container web: OCI.Process.Kind: policy [\"a\",\"b\"], request \"z\" (rule process_ok: "
         "kinds[p.Kind])"},
        {REQUEST("web", "[\"/web\",\"-v\"]", "a", "[\"A=2\"]", "[]"),
         "container web: OCI.Process.Env[0]: policy \"A=1\", request \"A=2\" (rule env_ok)"},
        {REQUEST("web", "[\"/web\",\"-v\"]", "a", "[\"A=1\",\"E=1\"]", "[]"),
         "container web: OCI.Process.Env[1]: policy has no E, request \"E=1\" (rule env_ok)"},
        {REQUEST("web", "[\"/web\",\"-v\"]", "a", "[\"OPEN=1\"]", "[]"),
         "container web: OCI.Process.Env: missing: \"A=1\" (rule env_ok: count(wanted - {g | g := "
         "given[_]}) == 0)"},
        {REQUEST("db", "[\"/db\"]", "b", "[]",
                 "[{\"destination\":\"/d\",\"source\":\"x\"},"
                 "{\"destination\":\"/e\",\"source\":\"z\"}]"),
         "container db: mount /e: OCI.Mounts[1].source: policy \"y\", request \"z\" (rule "
         "mount_ok: "
         "m.source == \"y\")"},
        {REQUEST("evil", "[\"/db\"]", "b", "[]", "[]"),
         "container db: name: policy \"db\", request \"evil\" (rule container_ok: c.name == "
         "input.name)"},
        {"{\"kind\": \"CopyFileRequest\", \"allowed\": false, \"request\": {\"path\": \"/b\"}}",
         "path: form \"^/a/\", request \"/b\" (rule CopyFileRequest: regex.match(\"^/a/\", "
         "input.path))"},
        {"{\"kind\": \"CopyFileRequest\", \"allowed\": false, \"request\": {\"path\": \"/a/\", "
         "\"mode\": 9}}",
         "mode: limit 4, request 9 (rule CopyFileRequest: input.mode <= 4)"},
        {"{\"kind\": \"RemoveContainerRequest\", \"allowed\": false, \"request\": "
         "{\"container_id\": \"x\"}}",
         "container_id: \"x\" is unknown; no earlier request made it (rule RemoveContainerRequest: "
         "is_number(known))"},
        {"{\"kind\": \"UpdateRoutesRequest\", \"allowed\": false, \"request\": {}}",
         "routes: needed, request has none (rule UpdateRoutesRequest: open_ok)"},
        {"{\"kind\": \"SetPolicyRequest\", \"allowed\": false, \"request\": {}}",
         "no rule of the policy allows SetPolicyRequest"},
    };
    struct fixture *f = *state;
    if (!has_judge()) {
        skip();
    }
    put(f, "rules.rego", span_str(small_rego));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put(f, "cases.json", span_str(rows[i].request));
        run(f, "policy check --output json --policy rules.rego --requests cases.json");
        json_t *report = json_loadb((const char *)f->out.data, f->out.size, 0, NULL);
        const json_t *answer = json_array_get(json_object_get(report, "cases"), 0);
        const char *why = json_string_value(json_object_get(answer, "why"));
        assert_int_equal(f->status, 0);
        assert_true(json_is_false(json_object_get(answer, "allowed")));
        assert_int_equal(json_integer_value(json_object_get(report, "passed")), 1);
        if (why == NULL || strcmp(why, rows[i].want) != 0) {
            fail_msg("want: %s\ngot:  %s", rows[i].want, why);
        }
        json_decref(report);
    }
}

static void test_check_counts_and_exits_3(void **state) {
    struct fixture *f = *state;
    static const char cases[] =
        "[{\"kind\": \"CopyFileRequest\", \"description\": \"one\", \"request\": {\"path\": "
        "\"/a/b\", \"mode\": 1}}, {\"kind\": \"CopyFileRequest\", \"request\": {\"path\": \"/\"}}]";
    if (!has_judge()) {
        skip();
    }
    put(f, "rules.rego", span_str(small_rego));
    put(f, "cases.json", span_str(cases));
    run(f, "policy check --policy rules.rego --requests cases.json");
    assert_int_equal(f->status, 3);
    const char *out = buf_cstr(&f->out);
    assert_non_null(strstr(out, "ok    allowed CopyFileRequest: one\n"));
    assert_non_null(strstr(out, "WRONG denied  CopyFileRequest\n      path: form"));
    assert_non_null(strstr(out, "1 as expected, 1 not\n"));
    put(f, "cases.json", span_str(REQUEST("web", "[\"/web\",\"-v\"]", "a", "[\"A=1\"]", "[]")));
    run(f, "policy check --policy rules.rego --requests cases.json --partial");
    assert_int_equal(f->status, 3);
    assert_non_null(strstr(buf_cstr(&f->out), "WRONG allowed CreateContainerRequest\n"));
}

static void test_check_refuses(void **state) {
    static const struct {
        const char *cases;
        const char *want;
    } rows[] = {
        {"", "cases.json: is empty"},
        {"[]", "cases.json: want a list of cases"},
        {"{}", "cases.json: want a list of cases"},
        {"7", "cases.json: line 1"},
        {"[3]", "cases[0]: must be an object"},
        {"[{\"kind\": 1}]", "cases[0].kind: must be the name of a request"},
        {"[{\"kind\": \"CreateContainer\"}]",
         "cases[0].kind: the agent has no \"CreateContainer\""},
        {"[{\"kind\": \"CopyFileRequest\"}]", "cases[0].request: must be an object"},
        {"[{\"kind\": \"CopyFileRequest\", \"request\": {}, \"allowed\": 1}]",
         "cases[0].allowed: must be true or false"},
        {"{\"kind\": \"CopyFileRequest\", \"request\": {}, \"description\": 1}",
         "cases[0].description: must be a string"},
        {"[{\"kind\": \"a\", \"kind\": \"b\"}]", "duplicate object key"},
    };
    struct fixture *f = *state;
    put(f, "rules.rego", span_str(small_rego));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put(f, "cases.json", span_str(rows[i].cases));
        run(f, "policy check --policy rules.rego --requests cases.json");
        expect_error(f, 2, rows[i].want);
    }
    run(f, "policy check --policy rules.rego");
    expect_error(f, 2, "--policy and --requests are needed");
    run(f, "policy check --policy rules.rego --requests none.json");
    expect_error(f, 2, "none.json");
    put(f, "cases.json", span_str("{\"kind\": \"CopyFileRequest\", \"request\": {}}"));
    put(f, "other.rego", span_str("package agent_policy\nx := {\n"));
    run(f, "policy check --policy other.rego --requests cases.json --partial");
    expect_error(f, 2, "--partial: the policy has no policy_data");
    if (has_judge()) {
        run(f, "policy check --policy other.rego --requests cases.json");
        expect_error(f, 2, "refuses the policy");
    }
}

static void test_check_without_a_judge(void **state) {
    struct fixture *f = *state;
    put(f, "rules.rego", span_str(small_rego));
    put(f, "cases.json", span_str("{\"kind\": \"CopyFileRequest\", \"request\": {}}"));
    assert_int_equal(setenv("CONTRAST_POLICY_JUDGE", "/nowhere/judge", 1), 0);
    run(f, "policy check --policy rules.rego --requests cases.json");
    expect_error(f, 1, "install cargo");
    assert_int_equal(setenv("CONTRAST_POLICY_JUDGE", "/bin/true", 1), 0);
    run(f, "policy check --policy rules.rego --requests cases.json");
    expect_error(f, 1, "contrast-policy-judge: ");
    assert_int_equal(unsetenv("CONTRAST_POLICY_JUDGE"), 0);
}

static void test_pods_are_chosen_by_name(void **state) {
    struct fixture *f = *state;
    run(f, "generate --skip-images --log-level error --reference-values refs.json pods.yaml");
    assert_int_equal(f->status, 0);
    put(f, "cases.json",
        span_str("{\"kind\": \"SetPolicyRequest\", \"allowed\": false, "
                 "\"request\": {}}"));
    run(f, "policy check --policy pods.yaml --requests cases.json");
    expect_error(f, 2, "choose one with --pod: Pod/boss, Pod/worker");
    run(f, "policy check --policy pods.yaml --requests cases.json --pod x");
    expect_error(f, 2, "pods.yaml has no x; it has Pod/boss, Pod/worker");
    if (has_judge()) {
        run(f, "policy check --policy pods.yaml --requests cases.json --pod Pod/boss");
        assert_int_equal(f->status, 0);
    }
    run(f, "policy show - < pods.yaml");
    assert_int_equal(f->status, 0);
    assert_non_null(strstr(buf_cstr(&f->out), "# Pod/boss "));
}

/* The first pod's entry: the one without a role. */
static json_t *worker_of(json_t *manifest) {
    const char *hash = NULL;
    json_t *entry = NULL;
    json_object_foreach(json_object_get(manifest, "Policies"), hash, entry) {
        if (json_object_get(entry, "Role") == NULL) {
            return entry;
        }
    }
    fail_msg("no workload in the manifest");
    return NULL;
}

static json_t *get_manifest(const struct fixture *f) {
    struct buf text = get(f, "manifest.json");
    json_t *manifest = json_loadb((const char *)text.data, text.size, 0, NULL);
    buf_deinit(&text);
    assert_non_null(manifest);
    return manifest;
}

/* SANs and the secret's id, edited by hand, survive a change of the pod that changes its hash. */
static void test_generate_keeps_what_was_edited(void **state) {
    struct fixture *f = *state;
    run(f, "generate --skip-images --log-level error --reference-values refs.json pods.yaml");
    assert_int_equal(f->status, 0);
    json_t *manifest = get_manifest(f);
    json_t *entry = worker_of(manifest);
    json_object_set_new(entry, "SANs", json_pack("[s]", "shop.example"));
    json_object_set_new(entry, "WorkloadSecretID", json_string("kept"));
    char *text = json_dumps(manifest, JSON_COMPACT);
    put(f, "manifest.json", span_str(text));
    free(text);
    json_decref(manifest);
    struct buf yaml = get(f, "pods.yaml");
    char *command = strstr((char *)(uintptr_t)buf_cstr(&yaml), "name: w,");
    assert_non_null(command);
    command = strstr(command, "command: [c]");
    assert_non_null(command);
    command[10] = 'd';
    put(f, "pods.yaml", buf_span(&yaml));
    buf_deinit(&yaml);
    run(f, "generate --skip-images --log-level error pods.yaml");
    assert_int_equal(f->status, 0);
    manifest = get_manifest(f);
    entry = worker_of(manifest);
    assert_string_equal(json_string_value(json_array_get(json_object_get(entry, "SANs"), 0)),
                        "shop.example");
    assert_string_equal(json_string_value(json_object_get(entry, "WorkloadSecretID")), "kept");
    assert_int_equal(json_object_size(json_object_get(manifest, "Policies")), 2);
    json_decref(manifest);
}

#define GENERATED                                                                                  \
    "kind: Pod\nmetadata:\n  generateName: pi-\nspec:\n  containers:\n"                            \
    "  - {name: p, image: i, command: [c]}\n"

static void test_two_pods_of_one_generated_name_share_an_entry(void **state) {
    struct fixture *f = *state;
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_appendf(&text, "%s---\n%s---\n%s", pods, GENERATED, GENERATED);
    put(f, "pods.yaml", buf_span(&text));
    run(f, "generate --skip-images --log-level error --reference-values refs.json pods.yaml");
    assert_int_equal(f->status, 0);
    json_t *manifest = get_manifest(f);
    assert_int_equal(json_object_size(json_object_get(manifest, "Policies")), 3);
    json_decref(manifest);
}

static void test_diff_of_files(void **state) {
    struct fixture *f = *state;
    put(f, "rules.rego", span_str(small_rego));
    struct buf other = {0};
    const char *at = strstr(small_rego, "\"A=1\"");
    buf_append(&other, small_rego, (size_t)(at - small_rego));
    buf_append_str(&other, "\"A=2\"");
    buf_append_str(&other, at + 5);
    put(f, "other.rego", buf_span(&other));
    buf_deinit(&other);
    run(f, "policy diff rules.rego rules.rego");
    assert_int_equal(f->status, 0);
    assert_string_equal(buf_cstr(&f->out), "no difference\n");
    run(f, "policy diff rules.rego other.rego");
    assert_int_equal(f->status, 3);
    assert_string_equal(buf_cstr(&f->out),
                        "other.rego: container web: env A changed \"1\" -> \"2\"\n");
    run(f, "policy diff --output json rules.rego other.rego");
    assert_int_equal(f->status, 3);
    json_t *report = json_loadb((const char *)f->out.data, f->out.size, 0, NULL);
    assert_true(json_is_false(json_object_get(report, "same")));
    assert_int_equal(json_array_size(json_object_get(report, "changes")), 1);
    json_decref(report);
    run(f, "policy diff rules.rego");
    expect_error(f, 2, "name two files");
    run(f, "policy diff rules.rego refs.json");
    expect_error(f, 2, "refs.json: no policy");
}

int main(int argc, char **argv) {
    if (argc != 2) {
        return 2;
    }
    program = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rules_and_hash_of_a_document, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hashes_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mistakes_exit_2_with_the_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check_says_why, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check_counts_and_exits_3, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check_without_a_judge, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pods_are_chosen_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_diff_of_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_generate_keeps_what_was_edited, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_pods_of_one_generated_name_share_an_entry, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, make_share, free_share);
}
