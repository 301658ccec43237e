/* Policy resource: what a resourceFieldRef gives a variable.
 *
 *   limits.memory: 64Mi, divisor 1Mi    -> "64"
 *   limits.cpu: 250m, divisor 1         -> "1": rounded up
 *   requests.X without a request        -> the limit, as the API server copies it
 *   neither in the YAML                 -> open: the node, or a LimitRange, decides
 *
 * A quantity is digits with a fraction, then a suffix of tens (n u m k M G T P E, e3) or of twos
 * (Ki .. Ei). CPU counts in thousandths, the rest in whole units, both rounded up. Sources:
 * k8s.io/apimachinery pkg/api/resource (quantity.go, suffix.go), k8s.io/kubernetes
 * pkg/api/v1/resource/helpers.go.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cli/policy/policy_env.h"

struct quantity {
    uint64_t digits;
    int tens; /* exponents: digits * 10^tens * 2^twos */
    int twos;
};

static bool read_suffix(const char *text, struct quantity *q) {
    static const struct {
        const char *text;
        int tens;
        int twos;
    } rows[] = {
        {"", 0, 0},    {"n", -9, 0},  {"u", -6, 0},  {"m", -3, 0},  {"k", 3, 0},   {"M", 6, 0},
        {"G", 9, 0},   {"T", 12, 0},  {"P", 15, 0},  {"E", 18, 0},  {"Ki", 0, 10}, {"Mi", 0, 20},
        {"Gi", 0, 30}, {"Ti", 0, 40}, {"Pi", 0, 50}, {"Ei", 0, 60},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].text, text) == 0) {
            q->tens += rows[i].tens;
            q->twos = rows[i].twos;
            return true;
        }
    }
    char *end = NULL;
    long exponent = text[0] == 'e' || text[0] == 'E' ? strtol(text + 1, &end, 10) : 0;
    if (end == NULL || end == text + 1 || *end != '\0' || exponent < -18 || exponent > 18) {
        return false;
    }
    q->tens += (int)exponent;
    return true;
}

static bool read_quantity(const char *text, struct quantity *out) {
    struct quantity q = {0};
    const char *p = text + (text[0] == '+' ? 1 : 0);
    size_t count = 0;
    bool is_fraction = false;
    for (; (*p >= '0' && *p <= '9') || (*p == '.' && !is_fraction); p++) {
        if (*p == '.') {
            is_fraction = true;
            continue;
        }
        if (q.digits > (UINT64_MAX - 9) / 10 || q.tens < -18) {
            return false;
        }
        q.digits = 10 * q.digits + (uint64_t)(*p - '0');
        q.tens -= is_fraction ? 1 : 0;
        count++;
    }
    bool is_good = count > 0 && read_suffix(p, &q);
    *out = q;
    return is_good;
}

/* ceil(q * 10^tens); false when that is over 64 bits. */
static bool scale(struct quantity q, int tens, uint64_t *out) {
    uint64_t n = q.digits;
    uint64_t divisor = 1;
    bool is_good = true;
    for (int i = 0; i < q.twos; i++) {
        is_good = is_good && !__builtin_mul_overflow(n, 2, &n);
    }
    for (int i = 0; i < q.tens + tens; i++) {
        is_good = is_good && !__builtin_mul_overflow(n, 10, &n);
    }
    for (int i = q.tens + tens; i < 0; i++) {
        is_good = is_good && !__builtin_mul_overflow(divisor, 10, &divisor);
    }
    *out = n / divisor + (n % divisor != 0 ? 1 : 0);
    return is_good;
}

/* ceil(value / divisor) in the unit of the resource. */
static bool divide(const char *value, const char *divisor, bool is_cpu, uint64_t *out) {
    struct quantity v;
    struct quantity d;
    uint64_t a = 0;
    uint64_t b = 0;
    if (!read_quantity(value, &v) || !read_quantity(divisor, &d) || !scale(v, is_cpu ? 3 : 0, &a) ||
        !scale(d, is_cpu ? 3 : 0, &b)) {
        return false;
    }
    if (b == 0) { /* "0" stands for none */
        b = is_cpu ? 1000 : 1;
    }
    *out = a / b + (a % b != 0 ? 1 : 0);
    return true;
}

static const json_t *find_container(const struct derive *d, const char *name) {
    static const char *const lists[] = {"containers", "initContainers"};
    for (size_t i = 0; i < 2; i++) {
        const json_t *list = json_object_get(d->spec, lists[i]);
        for (size_t k = 0; k < json_array_size(list); k++) {
            const json_t *container = json_array_get(list, k);
            if (strcmp(policy_text_of(container, "name", ""), name) == 0) {
                return container;
            }
        }
    }
    return NULL;
}

/* The quantity's text; NULL = the YAML does not say. */
static const char *find_quantity(const json_t *container, const char *resource) {
    const json_t *resources = json_object_get(container, "resources");
    const json_t *limits = json_object_get(resources, "limits");
    const char *name = strchr(resource, '.') + 1;
    const char *limit = policy_text_of(limits, name, NULL);
    bool is_request = strncmp(resource, "requests.", 9) == 0;
    return is_request ? policy_text_of(json_object_get(resources, "requests"), name, limit) : limit;
}

static bool is_resource(const char *text) {
    static const char *const names[] = {"cpu", "memory", "ephemeral-storage", NULL};
    size_t size = strncmp(text, "limits.", 7) == 0 ? 7 : strncmp(text, "requests.", 9) == 0 ? 9 : 0;
    for (size_t i = 0; size > 0 && names[i] != NULL; i++) {
        if (strcmp(text + size, names[i]) == 0) {
            return true;
        }
    }
    return size > 0 && strncmp(text + size, "hugepages-", 10) == 0;
}

RESULT policy_resource_value(const struct derive *d, const char *field, const json_t *ref,
                             json_t **out, struct err *err) {
    const char *resource = policy_text_of(ref, "resource", "");
    const char *name = policy_text_of(ref, "containerName", "");
    const json_t *container = name[0] != '\0' ? find_container(d, name) : d->container;
    if (container == NULL) {
        return policy_derive_fail(d, field, err,
                                  "resourceFieldRef: no container is called \"%.100s\"", name);
    }
    if (!is_resource(resource)) {
        return policy_derive_fail(
            d, field, err,
            "resourceFieldRef: there is no resource \"%.100s\"; take limits.X "
            "or requests.X with cpu, memory, ephemeral-storage, hugepages-*",
            resource);
    }
    const char *text = find_quantity(container, resource);
    if (text == NULL) {
        *out = policy_value_open("number");
        return OK;
    }
    uint64_t number = 0;
    const char *divisor = policy_text_of(ref, "divisor", "1");
    bool is_cpu = strcmp(strchr(resource, '.') + 1, "cpu") == 0;
    if (!divide(text, divisor, is_cpu, &number)) {
        return policy_derive_fail(d, field, err,
                                  "resourceFieldRef: cannot divide \"%.60s\" by \"%.60s\"; write "
                                  "quantities as 250m, 2 or 64Mi",
                                  text, divisor);
    }
    *out = json_sprintf("%llu", (unsigned long long)number);
    return OK;
}
