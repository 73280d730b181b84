/*
 * For tests: remove a folder with all that is in it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_REMOVE_ALL_H
#define TESTS_REMOVE_ALL_H

#include <glib/gstdio.h>

/* Links are removed, not followed.  What cannot be removed is left. */
static inline void remove_all(const char *path)
{
    g_autoptr(GDir) entries = g_dir_open(path, 0, NULL);
    const char *name;

    while (entries && (name = g_dir_read_name(entries))) {
        g_autofree char *below = g_build_filename(path, name, NULL);

        if (g_file_test(below, G_FILE_TEST_IS_DIR) &&
            !g_file_test(below, G_FILE_TEST_IS_SYMLINK)) {
            remove_all(below);
        } else {
            g_unlink(below);
        }
    }
    g_rmdir(path);
}

#endif
