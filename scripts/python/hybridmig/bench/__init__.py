"""The bench: every technique on the same guest, link and workload.

Layers, each using only those above it:

    metrics     the figures: names, units, what counts as a difference
    techniques  ways to migrate, as data
    probes      parts of a workload outside of the guest's own program
    workloads   what the guest does, as data
    links       the links, as data; the check that the machine holds them
    builds      what a QEMU knows: version, capabilities, parameters
    drivers     how the switch happens
    worklost    net guest work lost, from the reports of work done
    samples     the guest's series of work done, each 10 ms
    shortfall   guest work lost, from that series
    observe     silences of the tick, CPU time, faults
    speed       how fast the host computes meanwhile
    cross       QEMU's own figures beside those from outside
    cell        one run and its measurements
    store       results as JSON lines
    matrix      which cells, in which order, and how long they take
    stats       medians, spread, and what is a change beyond noise
    tables      rows of text for the report and the documents
    pictures    the plots; overview: one for each link
    report      one HTML file; docs: docs/results.md
    cli         the program
    warm        the helper that keeps the host's free memory warm

SPDX-License-Identifier: GPL-2.0-or-later
"""
