/* Cases: JSON, or lines of it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/policy_cases.h"

#include <ctype.h>
#include <string.h>

/* What the agent asks: kata-containers, src/agent/src/rpc.rs. */
static const char *const kinds[] = {
    "AddARPNeighborsRequest",
    "AddSwapPathRequest",
    "AddSwapRequest",
    "AllowRequestsFailingPolicy",
    "CloseStdinRequest",
    "CopyFileRequest",
    "CreateContainerRequest",
    "CreateSandboxRequest",
    "DestroySandboxRequest",
    "ExecProcessRequest",
    "GetDiagnosticDataRequest",
    "GetIPTablesRequest",
    "GetMetricsRequest",
    "GetOOMEventRequest",
    "GuestDetailsRequest",
    "ListInterfacesRequest",
    "ListRoutesRequest",
    "MemAgentCompactConfig",
    "MemAgentMemcgConfig",
    "MemHotplugByProbeRequest",
    "OnlineCPUMemRequest",
    "PauseContainerRequest",
    "ReadStreamRequest",
    "RemoveContainerRequest",
    "RemoveStaleVirtiofsShareMountsRequest",
    "ReseedRandomDevRequest",
    "ResizeVolumeRequest",
    "ResumeContainerRequest",
    "SetGuestDateTimeRequest",
    "SetIPTablesRequest",
    "SetPolicyRequest",
    "SignalProcessRequest",
    "StartContainerRequest",
    "StartTracingRequest",
    "StatsContainerRequest",
    "StopTracingRequest",
    "TtyWinResizeRequest",
    "UpdateContainerRequest",
    "UpdateEphemeralMountsRequest",
    "UpdateInterfaceRequest",
    "UpdateRoutesRequest",
    "VolumeStatsRequest",
    "WaitProcessRequest",
    "WriteStreamRequest",
};

static bool is_kind(const char *name) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static RESULT check_case(const char *name, size_t i, const json_t *c, struct err *err) {
    const char *kind = json_string_value(json_object_get(c, "kind"));
    const json_t *allowed = json_object_get(c, "allowed");
    const json_t *description = json_object_get(c, "description");
    ENSURE(json_is_object(c), err, INVALID, "%s: cases[%zu]: must be an object", name, i);
    ENSURE(kind != NULL, err, INVALID,
           "%s: cases[%zu].kind: must be the name of a request, such as CreateContainerRequest",
           name, i);
    ENSURE(is_kind(kind), err, INVALID,
           "%s: cases[%zu].kind: the agent has no \"%.64s\"; names are those of its messages, such "
           "as CreateContainerRequest",
           name, i, kind);
    ENSURE(json_is_object(json_object_get(c, "request")), err, INVALID,
           "%s: cases[%zu].request: must be an object, the message as the agent has it", name, i);
    ENSURE(allowed == NULL || json_is_boolean(allowed), err, INVALID,
           "%s: cases[%zu].allowed: must be true or false", name, i);
    ENSURE(description == NULL || json_is_string(description), err, INVALID,
           "%s: cases[%zu].description: must be a string", name, i);
    return OK;
}

static RESULT check_cases(const char *name, const json_t *cases, struct err *err) {
    ENSURE(json_array_size(cases) > 0, err, INVALID,
           "%s: want a list of cases {\"kind\", \"request\"}, and at least one", name);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        TRY(check_case(name, i, json_array_get(cases, i), err));
    }
    return OK;
}

/* --- Logs of agents: a request in each line */

static struct span trim(struct span text) {
    while (text.size > 0 && isspace(text.data[0])) {
        text = span_of(text.data + 1, text.size - 1);
    }
    while (text.size > 0 && isspace(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

static bool starts(struct span text, const char *word) {
    return text.size >= strlen(word) && memcmp(text.data, word, strlen(word)) == 0;
}

static bool ends(struct span text, const char *word) {
    size_t size = strlen(word);
    return text.size >= size && memcmp(text.data + text.size - size, word, size) == 0;
}

static const char old_start[] = "[\"ep\":\"";

/* ["ep":"CopyFileRequest",{...}], as older agents have it: no JSON. NULL: not that. */
static json_t *read_old_line(struct span line, json_error_t *e) {
    static const char end[] = "],";
    size_t start = sizeof old_start - 1;
    const uint8_t *quote =
        line.size > start ? memchr(line.data + start, '"', line.size - start) : NULL;
    if (quote == NULL || !ends(line, end)) {
        return NULL;
    }
    size_t kind_size = (size_t)(quote - line.data) - start;
    size_t head = start + kind_size + 2; /* quote and comma */
    if (head + sizeof end - 1 > line.size || line.data[head - 1] != ',') {
        return NULL;
    }
    json_t *request = json_loadb((const char *)line.data + head,
                                 line.size - head - (sizeof end - 1), JSON_REJECT_DUPLICATES, e);
    return request == NULL ? NULL
                           : json_pack("{s:s%, s:o}", "kind", (const char *)line.data + start,
                                       kind_size, "request", request);
}

static json_t *read_line(struct span line, json_error_t *e) {
    if (starts(line, old_start)) {
        return read_old_line(line, e);
    }
    if (ends(line, ",")) {
        line.size--;
    }
    return json_loadb((const char *)line.data, line.size, JSON_REJECT_DUPLICATES, e);
}

static RESULT read_lines(const char *name, struct span text, json_t *cases, struct err *err) {
    for (size_t number = 1; text.size > 0; number++) {
        const uint8_t *feed = memchr(text.data, '\n', text.size);
        size_t size = feed != NULL ? (size_t)(feed - text.data) : text.size;
        struct span line = trim(span_of(text.data, size));
        if (line.size > 0) {
            json_error_t e = {.text = "no request"};
            json_t *c = read_line(line, &e);
            ENSURE(c != NULL, err, INVALID, "%s: line %zu: %s", name, number, e.text);
            json_array_append_new(cases, c);
        }
        text = feed != NULL ? span_of(feed + 1, text.size - size - 1) : span_of(NULL, 0);
    }
    return OK;
}

/* --- JSON */

/* The list in a whole document, or a new one with the document as its only case. */
static json_t *list_of(json_t *root) {
    if (json_object_get(root, "kind") != NULL) {
        return json_pack("[O]", root);
    }
    json_t *member = json_object_get(root, "cases");
    return json_incref(member != NULL ? member : root);
}

static RESULT read_any(const char *name, struct span text, json_t **cases, struct err *err) {
    json_error_t e;
    json_t *root = json_loadb((const char *)text.data, text.size, JSON_REJECT_DUPLICATES, &e);
    if (root != NULL) {
        *cases = list_of(root);
        json_decref(root);
        return OK;
    }
    struct span start = trim(text);
    bool is_second = json_error_code(&e) == json_error_end_of_input_expected;
    ENSURE(is_second || starts(start, old_start), err, INVALID, "%s: line %d, column %d: %s", name,
           e.line, e.column, e.text);
    *cases = json_array();
    return read_lines(name, text, *cases, err);
}

RESULT policy_cases_read(const char *name, struct span text, json_t **out, struct err *err) {
    json_t *cases = NULL;
    ENSURE(trim(text).size > 0, err, INVALID, "%s: is empty", name);
    struct result r = read_any(name, text, &cases, err);
    if (is_ok(r)) {
        r = check_cases(name, cases, err);
    }
    if (!is_ok(r)) {
        json_decref(cases);
        return r;
    }
    *out = cases;
    return OK;
}
