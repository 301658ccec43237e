/* Plans on texts alone: what each kind of node gets, that it comes off again without a trace, and
 * what is refused. The real daemon judges in installer/test/test_containerd_real.py.
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/containerd/test/containerd_node.h"

#include "lib/base/mem.h"

/* --- Every layout of a file: on and off again */

static const char *const layouts[] = {
    NULL,
    "",
    "\n\n",
    "# only a comment",
    "version = 2",
    "version = 2\n",
    "version = 2\r\n# windows\r\n[debug]\r\n  level = \"info\"\r\n",
    DEFAULT,
    "# no version\nroot = \"/data\"\n[plugins.cri.containerd]\n  snapshotter = \"overlayfs\"\n",
    "[plugins]\n[plugins.cri]\n[plugins.cri.containerd]\n[plugins.cri.containerd.runtimes.runc]\n"
    "runtime_type = \"io.containerd.runc.v2\"\n",
    "version = 2\n[" CRI ".containerd]\n  disable_snapshot_annotations = true # mine\n"
    "  discard_unpacked_layers = true\n\n[debug]\n",
    "version = 2\n['plugins' . 'io.containerd.grpc.v1.cri' . \"containerd\"] # odd\n"
    "disable_snapshot_annotations = false\n",
    "version = 2\n[" CRI ".containerd]\n\tdisable_snapshot_annotations=true",
    "version = 2\n[" CRI ".containerd]",
    "version = 2\n[plugins]\n'io.containerd.grpc.v1.cri'.containerd.snapshotter = \"overlayfs\"\n"
    "\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.runtime_type = \"x\"\n",
    "version = 2\nplugins.\"io.containerd.grpc.v1.cri\".containerd.snapshotter = \"native\"\n",
    "version = 2\n[" CRI ".containerd.runtimes.kata]\nruntime_type = \"io.containerd.kata.v2\"\n",
    "version = 2\n[" CRI ".containerd.runtimes]\n[" CRI ".containerd]\n",
    "disabled_plugins = []\nversion = 2\noom_score = 1\n# note = \"" MARK "x begin\"\n",
    "version = 2\nroot = '''\n" MARK "x begin\n'''\n",
    "imports = [\"/etc/containerd/conf.d/*.toml\"]\nversion = 2\n",
    "imports = [ ]\nversion = 2\n",
    "imports = [ # none yet\n]\nversion = 2\n",
    "version = 2\nimports = [\n  \"/a.toml\", # first\n  '/b.toml', # second\n]\n",
    "version = 2\nimports = [\"/a.toml\"] # tail",
    "version = 2\r\nimports = [\r\n\"/a.toml\"\r\n,\r\n]\r\n",
    "version = 2\nimports = [\"/a.toml\",\"/b/*.toml\",]\n",
};

static void check_layout(struct containerd_version daemon, const char *text) {
    struct node start = new_node(daemon, text);
    struct node n = new_node(daemon, text);
    struct node only_b = new_node(daemon, text);
    assert_true(install(&n, A) > 0);
    assert_int_equal(install(&n, A), 0);
    struct node only_a = new_node(daemon, n.texts[CONTAINERD_MAIN]);
    set_text(&only_a, CONTAINERD_DROP_IN, A, n.drop_ins[0]);
    install(&only_b, B);
    install(&n, B);
    assert_int_equal(install(&n, A), 0);
    assert_int_equal(install(&n, B), 0);
    take_off(&n, B);
    assert_same(&n, &only_a);
    install(&n, B);
    take_off(&n, A);
    assert_same(&n, &only_b);
    assert_int_equal(take_off(&n, A), 0);
    take_off(&n, B);
    assert_same(&n, &start);
    free_node(&start);
    free_node(&n);
    free_node(&only_a);
    free_node(&only_b);
}

static void test_every_layout(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        check_layout(V1_6, layouts[i]);
        check_layout(V1_7, layouts[i]);
        check_layout(V2_0, layouts[i]);
    }
}

/* The handlers of a node may differ: one with a snapshotter, one without. */
static void test_flags_belong_to_who_needs_them(void **state) {
    (void)state;
    struct node n = new_node(V1_7, "version = 2\n");
    struct node only_b = new_node(V1_7, "version = 2\n");
    install_as(&only_b, B, false);
    assert_lacks(only_b.texts[CONTAINERD_MAIN], "disable_snapshot_annotations");
    install(&n, A);
    install_as(&n, B, false);
    assert_has(n.texts[CONTAINERD_MAIN], "disable_snapshot_annotations = false");
    take_off(&n, A);
    assert_same(&n, &only_b);
    free_node(&n);
    free_node(&only_b);
}

/* --- What is written */

static void test_in_place_text(void **state) {
    (void)state;
    struct node n = new_node(V1_7, "version = 2\n[" CRI ".containerd] # c\n"
                                   "  disable_snapshot_annotations = true # u\n"
                                   "[" CRI ".containerd.runtimes.runc]\n");
    install(&n, A);
    assert_main(&n, "version = 2\n[" CRI ".containerd] # c\n" MARK
                    "was:   disable_snapshot_annotations = true # u\n"
                    "  disable_snapshot_annotations = false " MARK "set for " A "\n"
                    "[" CRI ".containerd.runtimes.runc]\n" MARK A " begin\n"
                    "[" CRI ".containerd.runtimes." A "]\n"
                    "runtime_type = \"io.containerd.contrast-cc.v2\"\n"
                    "runtime_path = \"/opt/edgeless/x/bin/containerd-shim-contrast-cc-v2\"\n"
                    "pod_annotations = [\"io.katacontainers.*\"]\n"
                    "privileged_without_host_devices = true\n"
                    "snapshotter = \"tardev-" A "\"\n"
                    "[" CRI ".containerd.runtimes." A ".options]\n"
                    "ConfigPath = \"/opt/edgeless/x/etc/configuration-clh-snp.toml\"\n"
                    "[proxy_plugins.tardev-" A "]\ntype = \"snapshot\"\n"
                    "address = \"/run/containerd/tardev.sock\"\n" MARK A " end 6c6478ad5d7a1c4f\n");
    free_node(&n);
}

static void test_legacy_names(void **state) {
    (void)state;
    struct node n = new_node(V1_6, "root = \"/x\"\n");
    install(&n, A);
    assert_has(n.texts[CONTAINERD_MAIN], "[plugins.cri.containerd.runtimes." A "]\n");
    assert_has(n.texts[CONTAINERD_MAIN], "[plugins.cri.containerd.runtimes.runc]\n");
    assert_lacks(n.texts[CONTAINERD_MAIN], "io.containerd.grpc");
    free_node(&n);
}

/* A file that names no runtime has runc by default; ours alone would displace it. */
static void test_runc_is_kept(void **state) {
    (void)state;
    struct node n = new_node(V1_6, "version = 2\n");
    install(&n, A);
    assert_has(n.texts[CONTAINERD_MAIN],
               MARK "set for " A " begin\n[" CRI ".containerd.runtimes.runc]\n"
                    "runtime_type = \"io.containerd.runc.v2\"\n");
    install(&n, B);
    assert_has(n.texts[CONTAINERD_MAIN], MARK "set for " A " " B " begin\n");
    free_node(&n);
    n = new_node(V1_6, "version = 2\n[" CRI ".containerd.runtimes.crun]\n");
    install(&n, A);
    assert_lacks(n.texts[CONTAINERD_MAIN], "runtimes.runc");
    free_node(&n);
}

static void test_drop_in_text(void **state) {
    (void)state;
    struct node n = new_node(V2_0, "version = 3\n[debug]\n");
    install(&n, A);
    assert_main(&n, "version = 3\nimports = [\"" GLOB "\"] " MARK "set for " A "\n[debug]\n");
    assert_has(n.drop_ins[0],
               MARK A " begin\nversion = 3\n"
                      "[plugins.\"io.containerd.cri.v1.images\"]\n"
                      "disable_snapshot_annotations = false\n"
                      "discard_unpacked_layers = false\n"
                      "[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes." A "]\n");
    assert_has(n.drop_ins[0], "[plugins.\"io.containerd.cri.v1.images\".runtime_platforms." A
                              "]\nsnapshotter = \"tardev-" A "\"\n[proxy_plugins.tardev-" A "]\n");
    free_node(&n);
}

/* containerd 2.0 and 2.1 migrate the merged whole; later ones refuse a newer drop-in. */
static void test_drop_in_has_the_version_of_its_importer(void **state) {
    (void)state;
    struct node n = new_node(V2_0, "version = 2\n");
    install(&n, A);
    assert_has(n.drop_ins[0], "version = 2\n[" CRI ".containerd]\ndisable_snapshot_annotations");
    assert_has(n.drop_ins[0], "[plugins.\"io.containerd.cri.v1.images\".runtime_platforms." A "]");
    free_node(&n);
    n = new_node(V2_0, "root = \"/x\"\n");
    install(&n, A);
    assert_has(n.drop_ins[0], "version = 3\n[plugins.\"io.containerd.cri.v1.images\"]");
    free_node(&n);
    n = new_node(V2_0, "version = 4\n");
    install(&n, A);
    assert_has(n.drop_ins[0], "version = 4\n[plugins.\"io.containerd.cri.v1.images\"]");
    free_node(&n);
}

static void test_imports_in_every_layout(void **state) {
    (void)state;
    static const struct {
        const char *before;
        const char *after;
    } cases[] = {
        {"imports = []\n", "imports = [\"" GLOB "\", " MARK "set for " A "\n]\n"},
        {"imports = ['/a']\n", "imports = [\"" GLOB "\", " MARK "set for " A "\n'/a']\n"},
        {"imports = [ # c\n '/a', # d\n]",
         "imports = [\"" GLOB "\", " MARK "set for " A "\n # c\n '/a', # d\n]"},
        {"", "imports = [\"" GLOB "\"] " MARK "set for " A "\n"},
        {"[debug]", "imports = [\"" GLOB "\"] " MARK "set for " A "\n[debug]"},
        {"version = 3", "version = 3\nimports = [\"" GLOB "\"] " MARK "set for " A},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct node n = new_node(V2_0, cases[i].before);
        install(&n, A);
        assert_main(&n, cases[i].after);
        free_node(&n);
    }
}

/* What the user imports already is left alone, and never taken away. */
static void test_imports_that_match_already(void **state) {
    (void)state;
    static const char *const texts[] = {
        "imports = [\"/etc/containerd/conf.d/*.toml\"]\n",
        "imports = [\"conf.d/*.toml\"]\n",
        "imports = [\"./conf.d/contrast-*\"]\n",
        "imports = [\"" GLOB "\"]\n",
        "imports = [\"/x\", \"/etc/containerd/conf.d/" A ".toml\"]\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct node n = new_node(V2_0, texts[i]);
        assert_int_equal(install(&n, A), 1);
        assert_main(&n, texts[i]);
        assert_int_equal(take_off(&n, A), 1);
        assert_main(&n, texts[i]);
        assert_null(n.drop_ins[0]);
        free_node(&n);
    }
    struct node n = new_node(V2_0, "imports = [\"/etc/containerd/*.toml\", \"/etc/*\"]\n");
    assert_int_equal(install(&n, A), 2);
    free_node(&n);
}

/* The user's own imports change while we are installed: they stay. */
static void test_imports_edited_meanwhile(void **state) {
    (void)state;
    struct node n = new_node(V2_0, "imports = []\n");
    install(&n, A);
    set_text(&n, CONTAINERD_MAIN, A,
             "imports = [\"" GLOB "\", " MARK "set for " A "\n \"/new.toml\",\n]\n[debug]\n");
    take_off(&n, A);
    assert_main(&n, "imports = [ \"/new.toml\",\n]\n[debug]\n");
    free_node(&n);
}

static void test_order_of_edits(void **state) {
    (void)state;
    struct node n = new_node(V2_0, "version = 3\n");
    struct containerd_runtime r = runtime_of(A, NULL);
    struct containerd_change change = {0};
    assert_true(is_ok(containerd_config_install(look(&n, A), &r, &change, NULL)));
    assert_int_equal(change.edits[0].place, CONTAINERD_DROP_IN);
    assert_string_equal(change.edits[0].path, "/etc/containerd/conf.d/" A ".toml");
    assert_int_equal(change.edits[1].place, CONTAINERD_MAIN);
    apply(&n, A, &change);
    assert_true(is_ok(containerd_config_remove(look(&n, A), A, &change, NULL)));
    assert_int_equal(change.edits[0].place, CONTAINERD_MAIN);
    assert_int_equal(change.edits[1].place, CONTAINERD_DROP_IN);
    assert_true(change.edits[1].is_deletion);
    apply(&n, A, &change);
    free_node(&n);
}

/* --- Without a file */

static void test_missing_file_starts_from_the_default(void **state) {
    (void)state;
    struct node n = new_node(V1_6, NULL);
    install(&n, A);
    assert_has(n.texts[CONTAINERD_MAIN], MARK "created this file ");
    assert_has(n.texts[CONTAINERD_MAIN], DEFAULT);
    take_off(&n, A);
    assert_null(n.texts[CONTAINERD_MAIN]);
    n.facts.default_text = span_of(NULL, 0);
    assert_refused(&n, A, ERR_CONFIG, "gave nothing to start from");
    free_node(&n);
}

/* The user took the file over: it stays. */
static void test_created_file_that_was_edited_stays(void **state) {
    (void)state;
    struct node n = new_node(V1_6, NULL);
    install(&n, A);
    AUTO(buf_deinit)
    struct buf edited = {0};
    buf_appendf(&edited, "%s[debug]\nlevel = \"debug\"\n", n.texts[CONTAINERD_MAIN]);
    set_text(&n, CONTAINERD_MAIN, A, buf_cstr(&edited));
    take_off(&n, A);
    assert_main(&n, DEFAULT "[debug]\nlevel = \"debug\"\n");
    free_node(&n);
}

/* --- Daemons that change under us */

static void test_daemon_is_upgraded(void **state) {
    (void)state;
    struct node n = new_node(V1_7, DEFAULT);
    struct node fresh = new_node(V2_0, DEFAULT);
    install(&n, A);
    n.facts.daemon = V2_0;
    assert_int_equal(install(&n, A), 2);
    install(&fresh, A);
    assert_same(&n, &fresh);
    n.facts.daemon = V1_7; /* and back: the import would end runc there */
    install(&n, A);
    assert_null(n.drop_ins[0]);
    assert_lacks(n.texts[CONTAINERD_MAIN], GLOB);
    take_off(&n, A);
    assert_main(&n, DEFAULT);
    free_node(&n);
    free_node(&fresh);
}

static void test_removal_after_an_upgrade_of_the_daemon(void **state) {
    (void)state;
    struct node n = new_node(V1_7, DEFAULT);
    install(&n, A);
    n.facts.daemon = V2_0;
    take_off(&n, A);
    assert_main(&n, DEFAULT);
    free_node(&n);
}

/* --- Hand edits */

static void replace(struct node *n, const char *old, const char *new_text) {
    char *text = n->texts[CONTAINERD_MAIN];
    char *at = strstr(text, old);
    assert_non_null(at);
    AUTO(buf_deinit)
    struct buf out = {0};
    buf_appendf(&out, "%.*s%s%s", (int)(at - text), text, new_text, at + strlen(old));
    set_text(n, CONTAINERD_MAIN, A, buf_cstr(&out));
}

static void test_hand_edit_in_a_block(void **state) {
    (void)state;
    static const char text[] = DEFAULT "[" CRI ".containerd]\n";
    struct node n = new_node(V1_7, text);
    struct node clean = new_node(V1_7, text);
    install(&clean, A);
    install(&n, A);
    replace(&n, "privileged_without_host_devices = true",
            "privileged_without_host_devices = false");
    assert_refused(&n, A, ERR_CHANGED, "config.toml:7: lines between the marks");
    assert_removal_refused(&n, A, "config.toml:7: lines between the marks");
    n.facts.discard_edits = true;
    assert_int_equal(install(&n, A), 1);
    assert_same(&n, &clean);
    replace(&n, "disable_snapshot_annotations = false", "disable_snapshot_annotations = true");
    assert_int_equal(install(&n, A), 1);
    assert_same(&n, &clean);
    replace(&n, "privileged_without_host_devices = true", "");
    take_off(&n, A);
    assert_main(&n, text);
    free_node(&n);
    free_node(&clean);
}

static void test_hand_edit_around_a_block_is_kept(void **state) {
    (void)state;
    struct node n = new_node(V1_7, DEFAULT);
    install(&n, A);
    replace(&n, "version = 2\n", "version = 2\noom_score = -999 # mine\n");
    AUTO(buf_deinit)
    struct buf more = {0};
    buf_appendf(&more, "%s[debug]\n", n.texts[CONTAINERD_MAIN]);
    set_text(&n, CONTAINERD_MAIN, A, buf_cstr(&more));
    assert_int_equal(install(&n, A), 0);
    take_off(&n, A);
    assert_has(n.texts[CONTAINERD_MAIN], "version = 2\noom_score = -999 # mine\n");
    assert_has(n.texts[CONTAINERD_MAIN], "\n[debug]\n");
    assert_lacks(n.texts[CONTAINERD_MAIN], "contrast");
    free_node(&n);
}

static void test_hand_edits_of_marks(void **state) {
    (void)state;
    static const struct {
        const char *old;
        const char *new_text;
        const char *want;
    } cases[] = {
        {MARK A " end", "# gone", "never ends"},
        {MARK A " begin\n", "", "ends that has not begun"},
        {MARK A " begin", MARK A " start", "does not know"},
        {"disable_snapshot_annotations = false", "disable_snapshot_annotations = true",
         "was changed by hand"},
        {"set for " A, "set for Somebody", "names no handlers"},
        {"\n" MARK "was: ", "\n" MARK "was: x = 1\n" MARK "was: ", "is kept here"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct node n = new_node(V1_7, "version = 2\n[" CRI ".containerd]\n"
                                       "disable_snapshot_annotations = true\n"
                                       "[" CRI ".containerd.runtimes.runc]\n");
        install(&n, A);
        replace(&n, cases[i].old, cases[i].new_text);
        assert_refused(&n, A, ERR_CHANGED, cases[i].want);
        assert_removal_refused(&n, A, cases[i].want);
        free_node(&n);
    }
}

/* A key that was added behind our last table belongs to it: removal would move it elsewhere. */
static void test_key_behind_our_tables(void **state) {
    (void)state;
    struct node n = new_node(V1_7, DEFAULT);
    install(&n, A);
    AUTO(buf_deinit)
    struct buf more = {0};
    buf_appendf(&more, "%s\n# mine\nsandbox_image = \"x\"\n", n.texts[CONTAINERD_MAIN]);
    set_text(&n, CONTAINERD_MAIN, A, buf_cstr(&more));
    assert_removal_refused(&n, A, "stands behind tables of ours");
    free_node(&n);
}

/* A newer installer may write other tables for the same handler: replaced where they stand. */
static void test_other_tables_for_the_same_handler(void **state) {
    (void)state;
    static const struct containerd_version daemons[] = {{1, 7, 22}, {2, 0, 1}};
    for (size_t i = 0; i < 2; i++) {
        struct node n = new_node(daemons[i], DEFAULT);
        struct node want = new_node(daemons[i], DEFAULT);
        install_as(&n, A, false);
        install_as(&n, B, false);
        install_as(&want, A, false);
        install_as(&want, B, false);
        struct containerd_runtime r = runtime_of(A, NULL);
        struct containerd_change change = {0};
        r.config_path = "/opt/edgeless/x/etc/other.toml";
        assert_true(is_ok(containerd_config_install(look(&n, A), &r, &change, NULL)));
        assert_int_equal(apply(&n, A, &change), 1);
        assert_has(i == 0 ? n.texts[CONTAINERD_MAIN] : n.drop_ins[0], "/etc/other.toml");
        assert_int_equal(install_as(&n, A, false), 1);
        assert_same(&n, &want);
        free_node(&n);
        free_node(&want);
    }
}

static void test_drop_in_edited_within(void **state) {
    (void)state;
    struct node n = new_node(V2_0, "version = 3\n");
    install(&n, A);
    char *at = strstr(n.drop_ins[0], "privileged_without_host_devices = true");
    memcpy(at, "#", 1);
    assert_refused(&n, A, ERR_CHANGED, "was changed by hand");
    assert_removal_refused(&n, A, "was changed by hand");
    free_node(&n);
}

static void test_drop_ins_that_are_not_ours(void **state) {
    (void)state;
    struct node n = new_node(V2_0, "version = 3\n");
    set_text(&n, CONTAINERD_DROP_IN, A, "version = 3\n");
    assert_refused(&n, A, ERR_EXISTS, "not from this installer");
    set_text(&n, CONTAINERD_DROP_IN, A, NULL);
    install(&n, A);
    AUTO(buf_deinit)
    struct buf more = {0};
    buf_appendf(&more, "%s[debug]\n", n.drop_ins[0]);
    set_text(&n, CONTAINERD_DROP_IN, A, buf_cstr(&more));
    assert_refused(&n, A, ERR_CHANGED, "was changed by hand");
    assert_removal_refused(&n, A, "was changed by hand");
    n.facts.discard_edits = true;
    take_off(&n, A);
    assert_null(n.drop_ins[0]);
    free_node(&n);
}

/* --- Refusals */

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        struct containerd_version daemon;
        enum err_code code;
        const char *text;
        const char *want;
    } cases[] = {
        {{1, 6, 20}, ERR_CONFIG, "version = 3\n", "config.toml:1: containerd 1.6.20 runs here"},
        {{1, 7, 1}, ERR_CONFIG, "version = 3\n", "make it version = 2"},
        {{1, 5, 9}, ERR_CONFIG, "version = 2\n", "1.5.9 is not supported"},
        {{3, 0, 0}, ERR_CONFIG, "version = 3\n", "3.0.0 is not supported"},
        {{2, 0, 0}, ERR_CONFIG, "version = 5\n", "is not known"},
        {{2, 0, 0}, ERR_CONFIG, "version = \"2\"\n", "is not known"},
        {{1, 7, 1}, ERR_INVALID, "version = 2\n[a\n", "config.toml:2:3: ']' is missing"},
        {{1, 7, 1}, ERR_INVALID, "version = 2\n[a]\n[a]\n", "defined twice"},
        {{1, 7, 1}, ERR_INVALID, "\xef\xbb\xbfversion = 2\n", "byte order mark"},
        {{1, 7, 1}, ERR_CONFIG, "disabled_plugins = [\"cri\"]\n", "turns the CRI off (cri)"},
        {{2, 0, 0},
         ERR_CONFIG,
         "version = 3\ndisabled_plugins = ['x',\n'io.containerd.cri.v1.runtime']\n",
         "config.toml:3: disabled_plugins"},
        {{1, 7, 1},
         ERR_EXISTS,
         "version = 2\n[" CRI ".containerd.runtimes." A "]\n",
         "config.toml:2: " A " is configured here already"},
        {{1, 7, 1},
         ERR_EXISTS,
         "version = 2\n[proxy_plugins.'tardev-" A "']\n",
         "tardev-" A " is configured here already"},
        {{2, 0, 1},
         ERR_EXISTS,
         "version = 2\n[" CRI ".containerd.runtimes." A "]\n",
         "is configured here already"},
        {{1, 7, 1},
         ERR_CONFIG,
         "version = 2\n[" CRI ".containerd]\nruntimes = {runc = {}}\n",
         "config.toml:3: runtimes must be a table with a header"},
        {{1, 7, 1}, ERR_CONFIG, "version = 2\nplugins = {}\n", "plugins must be a table"},
        {{1, 7, 1},
         ERR_CONFIG,
         "version = 2\n[" CRI ".containerd]\ndisable_snapshot_annotations = \"x\"\n",
         "must be true or false"},
        {{2, 0, 1}, ERR_CONFIG, "imports = \"x\"\n", "must be a list"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct node n = new_node(cases[i].daemon, cases[i].text);
        assert_refused(&n, A, cases[i].code, cases[i].want);
        free_node(&n);
    }
}

static void test_old_daemon_and_snapshotter(void **state) {
    (void)state;
    struct node n = new_node(V1_6, DEFAULT);
    n.facts.accept_old_daemon = false;
    assert_refused(&n, A, ERR_CONFIG, "ignores the snapshotter of a runtime");
    n.facts.accept_old_daemon = true;
    struct containerd_runtime r = runtime_of(A, "tardev");
    struct containerd_change change = {0};
    assert_true(is_ok(containerd_config_install(look(&n, A), &r, &change, NULL)));
    assert_has(change.warning, "1.7 heeds it");
    containerd_change_deinit(&change);
    n.facts.accept_old_daemon = false;
    assert_int_equal(install_as(&n, A, false), 1);
    free_node(&n);
}

static void test_bad_runtimes(void **state) {
    (void)state;
    struct node n = new_node(V1_7, DEFAULT);
    assert_refused(&n, "kata", ERR_CONFIG, "is no name of a runtime of ours");
    assert_refused(&n, "kata-cc-and-long-enough", ERR_CONFIG, "is no name");
    assert_refused(&n, "contrast-cc-", ERR_CONFIG, "is no name");
    assert_refused(&n, "contrast-cc-x/../y", ERR_CONFIG, "is no name");
    assert_refused(&n, "contrast-cc-x begin\n", ERR_CONFIG, "is no name");
    struct containerd_runtime r = runtime_of(A, NULL);
    struct containerd_change change = {0};
    r.runtime_path = "shim";
    assert_int_equal(containerd_config_install(look(&n, A), &r, &change, NULL).code, ERR_CONFIG);
    r = runtime_of(A, NULL);
    r.snapshotter_address = "/x";
    assert_int_equal(containerd_config_install(look(&n, A), &r, &change, NULL).code, ERR_CONFIG);
    n.facts.path = "config.toml";
    assert_refused(&n, A, ERR_CONFIG, "must be absolute");
    free_node(&n);
}

/* --- Small things */

static void test_versions(void **state) {
    (void)state;
    static const struct {
        const char *text;
        struct containerd_version want;
    } good[] = {
        {"containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3\n",
         {1, 6, 20}},
        {"containerd containerd.io 1.7.22 7f7fdf5", {1, 7, 22}},
        {"containerd github.com/containerd/containerd/v2 v2.0.1 88aa2f", {2, 0, 1}},
        {"v2.1.4-k3s1", {2, 1, 4}},
        {"2.2", {2, 2, 0}},
    };
    struct containerd_version v;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(is_ok(containerd_version_parse(good[i].text, &v, NULL)));
        assert_memory_equal(&v, &good[i].want, sizeof v);
    }
    static const char *const bad[] = {"", "containerd", "x1.2.3", "1", "1.", "v.1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(containerd_version_parse(bad[i], &v, NULL).code, ERR_INVALID);
    }
}

static void test_schema(void **state) {
    (void)state;
    int schema = 0;
    assert_true(is_ok(containerd_config_schema("f", span_str(""), &schema, NULL)));
    assert_int_equal(schema, 1);
    assert_true(
        is_ok(containerd_config_schema("f", span_str("[a]\n\"version\" = 2\n"), &schema, NULL)));
    assert_int_equal(schema, 1);
    assert_true(is_ok(containerd_config_schema("f", span_str("'version' = 3"), &schema, NULL)));
    assert_int_equal(schema, 3);
    assert_int_equal(containerd_config_schema("f", span_str("version = 0"), &schema, NULL).code,
                     ERR_CONFIG);
}

static void test_handlers(void **state) {
    (void)state;
    struct node n = new_node(V2_0, "imports = ['/a']\n");
    struct containerd_handlers found;
    install(&n, B);
    install(&n, A);
    containerd_config_handlers(span_str(n.texts[CONTAINERD_MAIN]), &found);
    assert_int_equal(found.count, 2);
    assert_string_equal(found.names[0], B);
    assert_string_equal(found.names[1], A);
    containerd_handlers_deinit(&found);
    containerd_config_handlers(span_str(n.drop_ins[0]), &found);
    assert_int_equal(found.count, 1);
    containerd_handlers_deinit(&found);
    containerd_config_handlers(span_str("[broken\n" MARK A " begin\r\n" MARK "bad name begin\n"),
                               &found);
    assert_int_equal(found.count, 1);
    containerd_handlers_deinit(&found);
    free_node(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_layout),
        cmocka_unit_test(test_flags_belong_to_who_needs_them),
        cmocka_unit_test(test_in_place_text),
        cmocka_unit_test(test_legacy_names),
        cmocka_unit_test(test_runc_is_kept),
        cmocka_unit_test(test_drop_in_text),
        cmocka_unit_test(test_drop_in_has_the_version_of_its_importer),
        cmocka_unit_test(test_imports_in_every_layout),
        cmocka_unit_test(test_imports_that_match_already),
        cmocka_unit_test(test_imports_edited_meanwhile),
        cmocka_unit_test(test_order_of_edits),
        cmocka_unit_test(test_missing_file_starts_from_the_default),
        cmocka_unit_test(test_created_file_that_was_edited_stays),
        cmocka_unit_test(test_daemon_is_upgraded),
        cmocka_unit_test(test_removal_after_an_upgrade_of_the_daemon),
        cmocka_unit_test(test_hand_edit_in_a_block),
        cmocka_unit_test(test_hand_edit_around_a_block_is_kept),
        cmocka_unit_test(test_hand_edits_of_marks),
        cmocka_unit_test(test_key_behind_our_tables),
        cmocka_unit_test(test_other_tables_for_the_same_handler),
        cmocka_unit_test(test_drop_in_edited_within),
        cmocka_unit_test(test_drop_ins_that_are_not_ours),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_old_daemon_and_snapshotter),
        cmocka_unit_test(test_bad_runtimes),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_schema),
        cmocka_unit_test(test_handlers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
