/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/docker_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Never runs a helper: docker_config_find only names it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const hosts[] = {"docker.io", "ghcr.io", "127.0.0.1:5000"};
    struct docker_config *config = NULL;
    struct cred answer = {0};
    if (is_ok(docker_config_parse(span_of(data, size), &config, NULL))) {
        for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
            struct cred cred = {0};
            const char *helper = NULL;
            err_ignore(docker_config_find(config, hosts[i], &helper, &cred, NULL), "any is good");
            CHECK(helper == NULL || cred_is_empty(&cred));
            cred_deinit(&cred);
        }
        docker_config_free(config);
    }
    err_ignore(cred_helper_parse(span_of(data, size), &answer, NULL), "any is good");
    cred_deinit(&answer);
    return 0;
}
