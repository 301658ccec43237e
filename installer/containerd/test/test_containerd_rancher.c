/* Plans for nodes of k3s and RKE2: templates and drop-ins.
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/containerd/test/containerd_node.h"

#include "lib/base/mem.h"

#define K3S_V2                                                                                     \
    "version = 2\n[" CRI ".containerd]\ndisable_snapshot_annotations = false\n"                    \
    "[" CRI ".containerd.runtimes.runc]\n"
#define K3S_V3 "version = 3\n[plugins.'io.containerd.cri.v1.images']\n"

static void test_k3s_template_is_made(void **state) {
    (void)state;
    struct node n = new_k3s(V1_7, K3S_V2);
    struct node start = new_k3s(V1_7, K3S_V2);
    assert_int_equal(install(&n, A), 1);
    assert_int_equal(install(&n, A), 0);
    assert_main(&n, K3S_V2);
    assert_has(n.texts[CONTAINERD_TEMPLATE], "\n{{ template \"base\" . }}\n" MARK A " begin\n[" CRI
                                             ".containerd.runtimes." A "]\n");
    install(&n, B);
    take_off(&n, A);
    take_off(&n, B);
    assert_same(&n, &start);
    free_node(&n);
    free_node(&start);
}

static void test_k3s_template_of_the_user(void **state) {
    (void)state;
    static const char mine[] = "{{ template \"base\" . }}\n[debug]\nlevel = \"debug\"";
    struct node n = new_k3s(V1_7, K3S_V2);
    set_text(&n, CONTAINERD_TEMPLATE, A, mine);
    install(&n, A);
    assert_memory_equal(n.texts[CONTAINERD_TEMPLATE], mine, sizeof mine - 1);
    /* The next rendering holds our block: that is no foreign runtime. */
    AUTO(buf_deinit)
    struct buf rendered = {0};
    buf_appendf(&rendered, K3S_V2 "%s", strstr(n.texts[CONTAINERD_TEMPLATE], MARK));
    set_text(&n, CONTAINERD_MAIN, A, buf_cstr(&rendered));
    assert_int_equal(install(&n, A), 0);
    take_off(&n, A);
    assert_string_equal(n.texts[CONTAINERD_TEMPLATE], mine);
    free_node(&n);
}

static void test_k3s_drop_in(void **state) {
    (void)state;
    struct node n = new_k3s(V2_0, "imports = [\"/k/config-v3.toml.d/*.toml\"]\n" K3S_V3);
    assert_int_equal(install(&n, A), 1);
    assert_has(n.drop_ins[0], "version = 3\n");
    assert_null(n.texts[CONTAINERD_TEMPLATE_V3]);
    char *path = containerd_config_path(CONTAINERD_RKE2, "/k/config.toml", CONTAINERD_DROP_IN, A);
    assert_string_equal(path, "/k/config-v3.toml.d/" A ".toml");
    mem_free(path);
    take_off(&n, A);
    assert_null(n.drop_ins[0]);
    free_node(&n);
}

/* containerd 1.x would lose runc by a drop-in, whatever k3s imports. */
static void test_k3s_of_old_takes_no_drop_in(void **state) {
    (void)state;
    struct node n = new_k3s(V1_7, "imports = [\"/k/config-v3.toml.d/*.toml\"]\n" K3S_V2);
    install(&n, A);
    assert_null(n.drop_ins[0]);
    assert_non_null(n.texts[CONTAINERD_TEMPLATE]);
    free_node(&n);
}

static void test_k3s_v3_template(void **state) {
    (void)state;
    struct node n = new_k3s(V2_0, K3S_V3 "disable_snapshot_annotations = false\n");
    install(&n, A);
    assert_has(n.texts[CONTAINERD_TEMPLATE_V3], "[plugins.\"io.containerd.cri.v1.runtime\"");
    /* k3s is updated and imports now. */
    set_text(&n, CONTAINERD_MAIN, A, "imports = [\"config-v3.toml.d/*\"]\n" K3S_V3);
    assert_int_equal(install(&n, A), 2);
    assert_null(n.texts[CONTAINERD_TEMPLATE_V3]);
    assert_non_null(n.drop_ins[0]);
    free_node(&n);
    /* Only a template of version 2 is there: one of version 3 would put it out of force. */
    n = new_k3s(V2_0, K3S_V2);
    set_text(&n, CONTAINERD_TEMPLATE, A, "{{ template \"base\" . }}\n");
    install(&n, A);
    assert_null(n.texts[CONTAINERD_TEMPLATE_V3]);
    assert_has(n.texts[CONTAINERD_TEMPLATE], A);
    free_node(&n);
}

/* k3s of 2.x with templates of both versions: the older one is out of force, and ours leaves it. */
static void test_k3s_moves_between_templates(void **state) {
    (void)state;
    struct node n = new_k3s(V1_7, K3S_V2);
    install(&n, A);
    n.facts.daemon = V2_0;
    set_text(&n, CONTAINERD_MAIN, A, K3S_V3 "disable_snapshot_annotations = false\n");
    set_text(&n, CONTAINERD_TEMPLATE_V3, A, "{{ template \"base\" . }}\n");
    assert_int_equal(install(&n, A), 2);
    assert_null(n.texts[CONTAINERD_TEMPLATE]);
    assert_has(n.texts[CONTAINERD_TEMPLATE_V3], A);
    free_node(&n);
}

static void test_k3s_refusals(void **state) {
    (void)state;
    struct node n = new_k3s(V1_7, NULL);
    assert_refused(&n, A, ERR_CONFIG, "start it once");
    set_text(&n, CONTAINERD_MAIN, A, "version = 2\n");
    assert_refused(&n, A, ERR_CONFIG, "a template cannot change tables of its base");
    assert_int_equal(install_as(&n, A, false), 1);
    set_text(&n, CONTAINERD_TEMPLATE, A, NULL);
    set_text(&n, CONTAINERD_MAIN, A, K3S_V2 "[" CRI ".containerd.runtimes." A "]\n");
    assert_refused(&n, A, ERR_EXISTS, "configured here already");
    free_node(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_k3s_template_is_made),
        cmocka_unit_test(test_k3s_template_of_the_user),
        cmocka_unit_test(test_k3s_drop_in),
        cmocka_unit_test(test_k3s_of_old_takes_no_drop_in),
        cmocka_unit_test(test_k3s_v3_template),
        cmocka_unit_test(test_k3s_moves_between_templates),
        cmocka_unit_test(test_k3s_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
