#pragma once

#include <stddef.h>

// A team of threads that share the work inside one item.
//
// Compute threads (the scheduler's) take items. While there are fewer busy compute threads than the
// team has places, helper threads fill the free places: they take chunks of the regions that busy
// threads run. Who computes a chunk never changes its result, so helpers may come and go at any time.

typedef struct gk_team gk_team;

/// A busy thread's seat in a team: what it passes to kernels so that helpers can join in. NULL works
/// everywhere and means alone.
typedef struct gk_seat gk_seat;

/// A chunk of a region. `slot` is below gk_seat_slots, and no two threads that run chunks of this
/// region at the same time have the same: scratch memory is kept a slot.
typedef void (*gk_chunk)(void *context, size_t chunk, size_t slot);

/// A team for `places` threads working at once, which starts `places` − 1 helpers. NULL when the
/// system refuses memory; fewer helpers when it refuses threads.
gk_team *gk_team_create(size_t places);

/// Ends the helpers. Nobody may be seated.
void gk_team_destroy(gk_team *team);

/// Marks the calling thread as busy. NULL when all seats are taken; it then works alone.
gk_seat *gk_team_sit(gk_team *team);

/// The thread is no longer busy.
void gk_team_leave(gk_seat *seat);

/// Slots of any region run from this seat; 1 for NULL.
size_t gk_seat_slots(const gk_seat *seat);

/// How many threads would take chunks of a region that this seat ran now.
size_t gk_seat_sharers(const gk_seat *seat);

/// Runs chunks 0 … count − 1, each once, in any order and on any of the team's free threads; returns
/// when all are done.
void gk_seat_run(gk_seat *seat, size_t count, gk_chunk body, void *context);
