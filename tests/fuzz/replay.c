/*
 * Feeds files to a fuzz target: those of the folders given, in TAP.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "fuzz.h"

static unsigned feed(const char *folder)
{
    GDir *dir = g_dir_open(folder, 0, NULL);
    unsigned files = 0;
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_autofree char *data = NULL;
        gsize size;

        if (g_file_get_contents(path, &data, &size, NULL)) {
            /* As long as it is: what lies behind must not be read */
            g_autofree uint8_t *copy = size ? g_malloc(size) : NULL;

            if (size) {
                memcpy(copy, data, size);
            }
            /* A crash has the name in the log */
            fprintf(stderr, "%s\n", path);
            LLVMFuzzerTestOneInput(copy, size);
            files++;
        }
    }
    if (dir) {
        g_dir_close(dir);
    }
    return files;
}

int main(int argc, char **argv)
{
    LLVMFuzzerTestOneInput(NULL, 0);
    for (int i = 1; i < argc; i++) {
        g_autofree char *name = g_path_get_basename(argv[i]);
        unsigned files = feed(argv[i]);

        /* Without a corpus nothing was tested */
        printf("%s %d - fuzz %s: %u inputs\n", files ? "ok" : "not ok", i,
               name, files);
    }
    printf("1..%d\n", argc - 1);
    return 0;
}
