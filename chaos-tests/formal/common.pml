/* What the models share. In a model the macros mean
 *
 *   SAY(...)      a line of a counterexample (spin -t prints it, a search ignores it)
 *   WITNESS(name) a good thing that must be reachable: the check demands every one of them
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define SAY printf

#ifdef WITNESSES
c_decl {
    \#include <string.h>
    static const char *witness_names[64];
    static void witness_seen(const char *name) {
        int i = 0;
        while (i < 63 && witness_names[i] != NULL && strcmp(witness_names[i], name) != 0) {
            i++;
        }
        if (i < 63 && witness_names[i] == NULL) {
            witness_names[i] = name;
            printf("witness %s\n", name);
        }
    }
}
#define WITNESS(name) c_code { witness_seen(name); }
#else
#define WITNESS(name) skip
#endif
