# shellcheck shell=bash
# Everything in this folder, in the order of dependence.
# SPDX-License-Identifier: GPL-2.0-or-later

LIBRARY_DIR=$(dirname "${BASH_SOURCE[0]}")
for LIBRARY in common tap packages apt source tree build guest programs image; do
    # shellcheck source=/dev/null
    . "$LIBRARY_DIR/$LIBRARY.sh"
done
unset LIBRARY_DIR LIBRARY
