#define _GNU_SOURCE
#include "CTeam.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(__x86_64__)
#include <immintrin.h>
#define relax() _mm_pause()
#elif defined(__aarch64__)
#define relax() __asm__ volatile("yield")
#else
#define relax() ((void)0)
#endif

// How a region is shared. `ticket` holds the region's number in the upper half and the next chunk in
// the lower. A helper reads the ticket, then what the region is, then takes a chunk by raising the
// ticket it read. That fails when the region has changed meanwhile: the owner closes the ticket (all
// ones in the lower half) before it changes what the region is, and whoever has seen any of the
// change has seen the closing too.
struct gk_seat {
    gk_team *team;
    _Atomic int taken;
    /// The processor its thread was on when it sat down, or −1.
    _Atomic int processor;
    _Alignas(64) _Atomic uint64_t ticket;
    _Atomic uint32_t count;
    _Atomic(gk_chunk) body;
    _Atomic(void *) context;
    _Alignas(64) _Atomic uint32_t done;
};

struct gk_team {
    size_t places;
    size_t helpers;
    pthread_t *threads;
    /// The helpers' thread numbers for the system; 0 until they run.
    _Atomic pid_t *numbers;
    gk_seat *seats;
    _Atomic size_t busy;
    _Atomic int ending;
    /// Helpers that sleep on `wake`; changed under `mutex`, read without.
    _Atomic size_t sleeping;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
};

typedef struct {
    gk_team *team;
    size_t index;
} helper_start;

/// Takes and runs one chunk of a seat's region. Returns 0 when there is none.
static int help(gk_seat *seat, size_t slot) {
    uint64_t ticket = atomic_load_explicit(&seat->ticket, memory_order_acquire);
    const uint32_t count = atomic_load_explicit(&seat->count, memory_order_acquire);
    if ((uint32_t)ticket >= count) return 0;
    const gk_chunk body = atomic_load_explicit(&seat->body, memory_order_acquire);
    void *context = atomic_load_explicit(&seat->context, memory_order_acquire);
    if (!atomic_compare_exchange_strong_explicit(
            &seat->ticket, &ticket, ticket + 1, memory_order_acq_rel, memory_order_relaxed))
        return 1;
    body(context, (uint32_t)ticket, slot);
    atomic_fetch_add_explicit(&seat->done, 1, memory_order_release);
    return 1;
}

/// Whether a place is free for the helper of this index while `busy` threads work.
static int has_place(const gk_team *team, size_t index, size_t busy) {
    return busy > 0 && busy + index < team->places;
}

static int64_t nanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void *helper_main(void *argument) {
    const helper_start start = *(helper_start *)argument;
    free(argument);
    gk_team *team = start.team;
#if defined(__linux__)
    char name[16];
    snprintf(name, sizeof name, "helper-%zu", start.index);
    pthread_setname_np(pthread_self(), name);
    atomic_store(&team->numbers[start.index], (pid_t)syscall(SYS_gettid));
#endif
    // A busy thread's next region comes within microseconds; a helper that slept would come too late.
    const int64_t patience = 100000;
    int64_t idle_since = 0;
    unsigned spins = 0;
    while (!atomic_load_explicit(&team->ending, memory_order_relaxed)) {
        const size_t busy = atomic_load_explicit(&team->busy, memory_order_acquire);
        if (has_place(team, start.index, busy)) {
            int found = 0;
            for (size_t seat = 0; seat < team->places; seat++) {
                if (atomic_load_explicit(&team->seats[seat].taken, memory_order_relaxed))
                    found |= help(&team->seats[seat], 1 + start.index);
            }
            idle_since = 0;
            if (found) {
                spins = 0;
            } else if (++spins < 4096) {
                relax();
            } else {
                // Whoever has work for us may be waiting for this very processor.
                sched_yield();
            }
            continue;
        }
        // Between two items nobody is busy for a moment.
        const int64_t now = nanoseconds();
        if (idle_since == 0) idle_since = now;
        if (busy == 0 && now - idle_since < patience) {
            relax();
            continue;
        }
        pthread_mutex_lock(&team->mutex);
        atomic_fetch_add(&team->sleeping, 1);
        while (!has_place(team, start.index, atomic_load(&team->busy))
               && !atomic_load(&team->ending))
            pthread_cond_wait(&team->wake, &team->mutex);
        atomic_fetch_sub(&team->sleeping, 1);
        pthread_mutex_unlock(&team->mutex);
        idle_since = 0;
    }
    return NULL;
}

gk_team *gk_team_create(size_t places) {
    if (places < 1) places = 1;
    gk_team *team = calloc(1, sizeof *team);
    if (team == NULL) return NULL;
    team->places = places;
    team->threads = calloc(places, sizeof *team->threads);
    team->numbers = calloc(places, sizeof *team->numbers);
    team->seats = aligned_alloc(64, places * sizeof *team->seats);
    if (team->threads == NULL || team->numbers == NULL || team->seats == NULL) {
        free(team->threads);
        free((void *)team->numbers);
        free(team->seats);
        free(team);
        return NULL;
    }
    for (size_t i = 0; i < places; i++) {
        gk_seat *seat = &team->seats[i];
        seat->team = team;
        atomic_init(&seat->taken, 0);
        atomic_init(&seat->processor, -1);
        atomic_init(&seat->ticket, 0);
        atomic_init(&seat->count, 0);
        atomic_init(&seat->body, NULL);
        atomic_init(&seat->context, NULL);
        atomic_init(&seat->done, 0);
    }
    pthread_mutex_init(&team->mutex, NULL);
    pthread_cond_init(&team->wake, NULL);
    for (size_t i = 0; i + 1 < places; i++) {
        helper_start *start = malloc(sizeof *start);
        if (start == NULL) break;
        *start = (helper_start){team, i};
        if (pthread_create(&team->threads[i], NULL, helper_main, start) != 0) {
            free(start);
            break;
        }
        team->helpers = i + 1;
    }
    return team;
}

void gk_team_destroy(gk_team *team) {
    if (team == NULL) return;
    pthread_mutex_lock(&team->mutex);
    atomic_store(&team->ending, 1);
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->mutex);
    for (size_t i = 0; i < team->helpers; i++) pthread_join(team->threads[i], NULL);
    pthread_cond_destroy(&team->wake);
    pthread_mutex_destroy(&team->mutex);
    free(team->threads);
    free((void *)team->numbers);
    free(team->seats);
    free(team);
}

/// Keeps the threads of a team off each other's processors as they wake up.
///
/// The kernel often wakes a thread on the processor of the one that woke it, and moves it away only
/// milliseconds later, which is the time of a whole item. So a thread that sits down where another sits moves
/// on, and sleeping helpers may wake anywhere but where somebody sits. What is allowed is what the thread
/// that sits down is allowed; nothing is bound to one processor, and a refusal changes nothing.
static void spread(gk_team *team, gk_seat *seat) {
#if defined(__linux__)
    const int own = sched_getcpu();
    atomic_store_explicit(&seat->processor, own, memory_order_relaxed);
    cpu_set_t allowed, free_ones;
    if (own < 0 || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    free_ones = allowed;
    int shared = 0;
    for (size_t i = 0; i < team->places; i++) {
        const gk_seat *other = &team->seats[i];
        if (other == seat || !atomic_load_explicit(&other->taken, memory_order_relaxed)) continue;
        const int processor = atomic_load_explicit(&other->processor, memory_order_relaxed);
        if (processor < 0) continue;
        CPU_CLR((size_t)processor, &free_ones);
        shared |= processor == own;
    }
    if (shared && CPU_COUNT(&free_ones) > 0
        && sched_setaffinity(0, sizeof free_ones, &free_ones) == 0) {
        const int moved = sched_getcpu();
        atomic_store_explicit(&seat->processor, moved, memory_order_relaxed);
        sched_setaffinity(0, sizeof allowed, &allowed);
        if (moved >= 0) CPU_CLR((size_t)moved, &free_ones);
    } else {
        CPU_CLR((size_t)own, &free_ones);
    }
    if (atomic_load(&team->sleeping) == 0 || CPU_COUNT(&free_ones) == 0) return;
    const size_t busy = atomic_load(&team->busy);
    for (size_t i = 0; i < team->helpers && has_place(team, i, busy); i++) {
        const pid_t number = atomic_load_explicit(&team->numbers[i], memory_order_relaxed);
        if (number != 0) sched_setaffinity(number, sizeof free_ones, &free_ones);
    }
#else
    (void)team;
    (void)seat;
#endif
}

gk_seat *gk_team_sit(gk_team *team) {
    if (team == NULL) return NULL;
    for (size_t i = 0; i < team->places; i++) {
        int free_seat = 0;
        if (!atomic_compare_exchange_strong(&team->seats[i].taken, &free_seat, 1)) continue;
        const size_t busy = atomic_fetch_add(&team->busy, 1) + 1;
        if (team->helpers > 0) spread(team, &team->seats[i]);
        if (busy < team->places && atomic_load(&team->sleeping) > 0) {
            pthread_mutex_lock(&team->mutex);
            pthread_cond_broadcast(&team->wake);
            pthread_mutex_unlock(&team->mutex);
        }
        return &team->seats[i];
    }
    return NULL;
}

void gk_team_leave(gk_seat *seat) {
    if (seat == NULL) return;
    gk_team *team = seat->team;
    atomic_fetch_sub(&team->busy, 1);
    atomic_store_explicit(&seat->processor, -1, memory_order_relaxed);
    atomic_store(&seat->taken, 0);
    // The place that became free may be a sleeping helper's.
    if (atomic_load(&team->busy) > 0 && atomic_load(&team->sleeping) > 0) {
        pthread_mutex_lock(&team->mutex);
        pthread_cond_broadcast(&team->wake);
        pthread_mutex_unlock(&team->mutex);
    }
}

size_t gk_seat_slots(const gk_seat *seat) { return seat == NULL ? 1 : seat->team->places; }

size_t gk_seat_sharers(const gk_seat *seat) {
    if (seat == NULL) return 1;
    const size_t busy = atomic_load_explicit(&seat->team->busy, memory_order_relaxed);
    return busy < seat->team->places ? 1 + seat->team->places - busy : 1;
}

void gk_seat_run(gk_seat *seat, size_t count, gk_chunk body, void *context) {
    const int alone = seat == NULL || count < 2 || count >= UINT32_MAX
        || atomic_load_explicit(&seat->team->busy, memory_order_relaxed) >= seat->team->places;
    if (alone) {
        for (size_t chunk = 0; chunk < count; chunk++) body(context, chunk, 0);
        return;
    }
    const uint64_t region =
        (atomic_load_explicit(&seat->ticket, memory_order_relaxed) >> 32) + 1;
    atomic_store_explicit(&seat->ticket, region << 32 | UINT32_MAX, memory_order_relaxed);
    atomic_store_explicit(&seat->done, 0, memory_order_relaxed);
    atomic_store_explicit(&seat->body, body, memory_order_release);
    atomic_store_explicit(&seat->context, context, memory_order_release);
    atomic_store_explicit(&seat->count, (uint32_t)count, memory_order_release);
    atomic_store_explicit(&seat->ticket, region << 32, memory_order_release);
    while (help(seat, 0)) {}
    unsigned spins = 0;
    while (atomic_load_explicit(&seat->done, memory_order_acquire) < count) {
        // A helper that lost its processor in mid-chunk may be waiting for ours.
        if (++spins < 4096) relax(); else sched_yield();
    }
}
