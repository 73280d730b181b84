/*
 * Unit test of the order of the first round (policy/scan.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "policy/scan.h"

/* Each chunk once; after any part of the way, memory is covered evenly */
static void test_scan(void)
{
    for (size_t chunks = 0; chunks < 700; chunks++) {
        g_autofree unsigned *seen = g_new0(unsigned, chunks + 1);
        HybridScan scan;
        size_t n = 0;

        hybrid_scan_init(&scan, chunks);
        while (hybrid_scan_next(&scan)) {
            g_assert_cmpuint(scan.chunk, <, chunks);
            g_assert_cmpuint(seen[scan.chunk]++, ==, 0);
            if (++n == chunks / 4) {
                size_t low = 0;

                for (size_t c = 0; c < chunks / 2; c++) {
                    low += seen[c];
                }
                g_assert_cmpuint(low, <=, n / 2 + n / 8 + 4);
                g_assert_cmpuint(low + n / 8 + 4, >=, n / 2);
            }
        }
        g_assert_cmpuint(n, ==, chunks);
        g_assert_false(hybrid_scan_next(&scan));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/scan/even", test_scan);
    return g_test_run();
}
