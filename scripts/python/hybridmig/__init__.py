"""Live migration of small Linux guests, for development, tests and the demo.

Layers, each using only those above it:

    paths     where QEMU, its Python packages, the guest and firmware are
    runs      a run: its folder, its clean-up, the leftovers of dead runs
    net       two network namespaces and the link between them
    lan       the guest's own network, and its clients; redisload is one
    monitor   QMP in the background: commands, and events on one clock
    console   what the guest says, joined over both QEMUs; its tick
    guest     one QEMU process
    pair      a source and a destination, ready to migrate
    migrate   one migration, from start to end, cut, cancel and recovery
    measure   the metrics, seen from outside and as QEMU reports them
    record    a run as text, for the unit tests and the model
    display   progress lines and tables
    plot      the picture
    cli, demo the programs
    bench     every technique side by side (a package of its own)

SPDX-License-Identifier: GPL-2.0-or-later
"""
