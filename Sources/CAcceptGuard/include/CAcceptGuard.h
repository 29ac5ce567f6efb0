#ifndef GUIDANCED_ACCEPT_GUARD_H
#define GUIDANCED_ACCEPT_GUARD_H

#include <stdint.h>

/// Refuses connections that would take one of a process's last descriptors.
///
/// The messaging library accepts connections by itself and, on UNIX sockets, ends the process when
/// that fails for want of a descriptor. This target defines `accept4` and `accept`, which come before
/// the C library's: they accept as those do, but close at once what would leave too few descriptors, and
/// then say ECONNABORTED, which every caller has to expect.

/// From now on, connections whose descriptor would be this or a higher number are refused. The
/// system gives out the lowest number that is free, so that these are left for other purposes. 0 turns
/// the guard off. To be called again only with another number.
void gd_accept_guard(int first_reserved);

/// Connections refused so far.
uint64_t gd_accept_refused(void);

/// Whether the last connection that came was accepted.
int gd_accept_is_open(void);

#endif
