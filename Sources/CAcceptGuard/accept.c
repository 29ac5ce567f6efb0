#define _GNU_SOURCE
#include "CAcceptGuard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int reserved_from;
static atomic_int spare = -1;
static atomic_int is_open = 1;
static _Atomic uint64_t refused;

static int open_spare(void) {
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void gd_accept_guard(int first_reserved) {
    if (first_reserved > 0 && atomic_load(&spare) < 0) {
        atomic_store(&spare, open_spare());
    }
    atomic_store(&reserved_from, first_reserved);
}

uint64_t gd_accept_refused(void) {
    return atomic_load(&refused);
}

int gd_accept_is_open(void) {
    return atomic_load(&is_open);
}

static int refuse(void) {
    atomic_fetch_add(&refused, 1);
    atomic_store(&is_open, 0);
    errno = ECONNABORTED;
    return -1;
}

static int accept_guarded(
    int listener, struct sockaddr *address, socklen_t *length, int flags) {
    int connection = (int)syscall(SYS_accept4, listener, address, length, flags);
    int first = atomic_load(&reserved_from);
    if (first <= 0) {
        return connection;
    }
    if (connection >= first) {
        close(connection);
        return refuse();
    }
    if (connection >= 0) {
        atomic_store(&is_open, 1);
        return connection;
    }
    if (errno == EMFILE || errno == ENFILE) {
        // Not even one is left: with the spare one the connection is taken from the queue, and closed,
        // or the listener would be ready again and again.
        int own = atomic_exchange(&spare, -1);
        if (own >= 0) {
            close(own);
            connection = (int)syscall(SYS_accept4, listener, address, length, flags);
            if (connection >= 0) {
                close(connection);
            }
            atomic_store(&spare, open_spare());
        }
        return refuse();
    }
    if (errno == ENOMEM || errno == ENOBUFS) {
        return refuse();
    }
    return -1;
}

int accept4(int listener, struct sockaddr *address, socklen_t *length, int flags) {
    return accept_guarded(listener, address, length, flags);
}

int accept(int listener, struct sockaddr *address, socklen_t *length) {
    return accept_guarded(listener, address, length, 0);
}
