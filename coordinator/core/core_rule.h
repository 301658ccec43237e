/* Core rules: what a test takes out to see that it notices; the product has no such switch.
 *
 *   core_rule_is_off(CORE_RULE_FENCE)   constant false but in the libraries *_mutable
 *
 * For the core and the replica alike, as node_rule_is_off is for consensus. docs/simulation.md
 * has the table of what notices each.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CORE_RULE_H
#define CONTRAST_CORE_RULE_H

#include <stdbool.h>

enum core_rule {
    CORE_RULE_FENCE,    /* an ISSUE against an older manifest is refused */
    CORE_RULE_ONCE,     /* a request is applied once, however often it comes */
    CORE_RULE_SWAP,     /* a set names the head that it follows */
    CORE_RULE_MESH_KEY, /* a new generation replaces the mesh CA key */
    CORE_RULE_NAME,     /* a name is taken over only from who leaves or is silent */
    CORE_RULE_APPLIED,  /* a confirmation is answered when its index is applied here */
    CORE_RULE_TIME,     /* an entry's time is held against the voters' clocks */
    CORE_RULE_REMOVED,  /* who was removed and did not hear it is told */
};

#ifdef CORE_MUTATIONS
extern unsigned core_disabled_rules;
static inline bool core_rule_is_off(enum core_rule rule) {
    return (core_disabled_rules >> rule & 1U) != 0;
}
#else
static inline bool core_rule_is_off(enum core_rule rule) {
    (void)rule;
    return false;
}
#endif

#endif
