/* The name under which on_stage.c knows a test program's main; the build includes this first.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ON_STAGE_H
#define CONTRAST_ON_STAGE_H

#define main product_main
int product_main(void);

#endif
