/* Annotations of pods: what is refused, where, and that the docs name the same ones.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/test/inject_fixture.h"
#include "lib/base/file.h"

static void test_refused_annotations(void **state) {
    (void)state;
    static const struct bad bad[] = {
        {POD(NOTE("servicemesh-ingres: ''"), WEB),
         "f.yaml:6:5: metadata.annotations[\"" P
         "servicemesh-ingres\"]: unknown annotation; did you "
         "mean \"" P "servicemesh-ingress\"?"},
        {POD(NOTE("Skip-Initializer: 'true'"), WEB), "did you mean \"" P "skip-initializer\"?"},
        {POD(NOTE("colour: 'red'"), WEB), "unknown annotation; `contrast generate` knows those of"},
        {POD(NOTE("skip-initializer: true"), WEB),
         "f.yaml:6:49: metadata.annotations[\"" P "skip-initializer\"]: must be a string; put"},
        {POD(NOTE("skip-initializer: 'yes'"), WEB), "must be \"true\" or \"false\""},
        {POD(NOTE("renew-certificates: 'on'"), WEB), "must be \"true\" or \"false\""},
        {POD(NOTE("servicemesh-ingress:"), WEB), "has no value; give it one in quotes"},
        {POD(NOTE("servicemesh-ingress: a#70000#true"), WEB),
         "servicemesh-ingress\"]: entry 1 \"a#70000#true\": the port must be a number"},
        {POD(NOTE("servicemesh-egress: ''"), WEB), "servicemesh-egress\"]: is empty"},
        {POD(NOTE("servicemesh-admin-interface-port: 9901"), WEB), "must be a string"},
        {POD(NOTE("servicemesh-admin-interface-port: '0'"), WEB), "want a port from 1 to 65535"},
        {POD(NOTE("servicemesh-egress: a#127.0.0.1:80#b:80")
                 NOTE("servicemesh-admin-interface-port: '80'"),
             WEB),
         "listens on port 80 already"},
        {POD(NOTE("secure-pv: 'data:state'"), WEB), "this version cannot encrypt a volume"},
        {POD(NOTE("image-store-size: big"), WEB), "must be a quantity such as \"10Gi\""},
        {POD(NOTE("image-store-size: 10Gi") NOTE("policy-profile: initdata"), WEB),
         "this version has no store for images"},
        {POD(NOTE("policy-profile: rego"), WEB), "must be \"annotation\" or \"initdata\""},
        {POD(NOTE("pod-role: boss"), WEB), "pod-role: must be \"coordinator\""},
        {POD(NOTE("workload-secret-id: \"a\\nb\""), WEB), "has a control character"},
        {POD(NOTE("skip-initializer: 'true'") NOTE("servicemesh-ingress: ''"), WEB),
         "servicemesh-... needs the initializer; remove it, or remove skip-initializer"},
        {POD(NOTE("skip-initializer: 'true'") NOTE("renew-certificates: 'true'"), WEB),
         "renew-certificates needs the initializer"},
        {POD(NOTE("pod-role: coordinator") NOTE("servicemesh-ingress: ''"), WEB),
         "a Coordinator makes its own certificates; remove servicemesh-..."},
        {"kind: Pod\nmetadata:\n  name: p\n  labels:\n    " P
         "skip-initializer: 'true'\nspec:\n" WEB,
         "f.yaml:5:5: metadata.labels[\"" P "skip-initializer\"]: has no effect here; move it to "
         "metadata.annotations"},
        {"kind: Job\nmetadata:\n  name: p\n  annotations:\n    " P
         "servicemesh-ingress: ''\nspec: {template: {spec: {containers: [{name: a}]}}}\n",
         "has no effect here; move it to spec.template.metadata.annotations"},
        {"kind: CronJob\nmetadata: {name: p}\nspec: {jobTemplate: {metadata: {annotations: {" P
         "pod-role: coordinator}}, spec: {template: {spec: {containers: [{name: a}]}}}}}\n",
         "spec.jobTemplate.metadata.annotations[\"" P "pod-role\"]: has no effect here; move it to "
         "spec.jobTemplate.spec.template.metadata.annotations"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_refused(bad[i].text, bad[i].want);
    }
}

/* The table of docs/annotations.md has the names that are known, and no others. */
static void test_names_are_those_of_the_docs(void **state) {
    (void)state;
    static const char *const names[] = {"expose-service",
                                        "image-store-size",
                                        "pod-role",
                                        "policy-profile",
                                        "renew-certificates",
                                        "secure-pv",
                                        "servicemesh-admin-interface-port",
                                        "servicemesh-egress",
                                        "servicemesh-ingress",
                                        "skip-initializer",
                                        "workload-secret-id"};
    AUTO(buf_deinit)
    struct buf docs = {0};
    assert_true(is_ok(file_read("docs/annotations.md", 1 << 20, &docs, NULL)));
    size_t rows_seen = 0;
    for (const char *p = buf_cstr(&docs); (p = strstr(p, "\n| `")) != NULL; p++) {
        const char *name = p + 4;
        size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz-");
        bool is_known = false;
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            is_known = is_known || (strlen(names[i]) == size && memcmp(name, names[i], size) == 0);
        }
        assert_true(is_known);
        rows_seen++;
    }
    assert_int_equal(rows_seen, sizeof names / sizeof names[0] + 1); /* pod-role has two rows */
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        AUTO(buf_deinit)
        struct buf text = {0};
        AUTO(buf_deinit)
        struct buf out = {0};
        struct err err = {0};
        buf_appendf(&text, POD(NOTE("%s: '\"'"), WEB), names[i]);
        struct result r = inject(buf_cstr(&text), &fixture_config, &out, &err);
        assert_true(is_ok(r) == (strcmp(names[i], "workload-secret-id") == 0));
        assert_null(strstr(err.text, "unknown annotation"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_annotations),
        cmocka_unit_test(test_names_are_those_of_the_docs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
