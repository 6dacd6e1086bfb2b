/*
 * The guard around mapped files; map_guard.h says what it is for.
 *
 *     store_map_guard()   frame on the stack, sigsetjmp(), work ...
 *                                   a fault:  handler -> the innermost frame of this thread?
 *                                                     -> the address in a known map?
 *                                                           yes: map damaged, siglongjmp()
 *                                                           no:  the old disposition, again
 *     <- DATA_LOSS
 *
 * Faults are synchronous: the handler interrupts the very instruction that touched the map, never
 * one inside an allocator or a lock, so that whatever those guard is whole. The signal mask is put
 * back before the jump, as it was when the fault came; so setting a guard saves none, and costs no
 * system call. The handler runs on the thread's own stack, which is sound,
 * since the fault is not its overflow.
 *
 * What LMDB leaves behind when it is left half way is its caller's to know: see env_guard.c.
 *
 * The table of maps is read by the handler, so it has no lock: a row is taken by its map, then end
 * and start are stored; start goes first when it is given back. A thread finds the rows of maps
 * that it uses itself unchanged.
 *
 * Process-wide by nature: a disposition of signals, one table, one innermost frame a thread.
 */
#include "server/storage/map_guard.h"

#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>

#include "common/log.h"
#include "common/sync.h"

/* A row of the table; start 0: unused. */
struct place {
    _Atomic(struct store_map *) map;
    _Atomic uintptr_t start;
    _Atomic uintptr_t end;
};

/* A guard that is set. */
struct guard {
    sigjmp_buf exit;
    struct guard *outer;
    struct store_map *map; /* where the fault was */
    uint64_t offset;
    const char *why;
};

static struct place places[STORE_MAP_COUNT_MAX];
static _Atomic uint32_t place_count; /* rows that were ever used */
static struct sigaction bus_before;
static struct sigaction segv_before;
static _Thread_local struct guard *innermost;
_Thread_local struct store_map *store_map_followed;

/* ---- the table ------------------------------------------------------------------------------- */

bool store_map_add(struct store_map *map, uintptr_t start, uint64_t bytes)
{
    CELLAR_ASSERT(start > 0 && bytes > 0 && map->start == 0);
    for (uint32_t i = 0; i < STORE_MAP_COUNT_MAX; i++) {
        struct store_map *none = NULL;
        if (!atomic_compare_exchange_strong(&places[i].map, &none, map)) {
            continue;
        }
        atomic_store(&places[i].end, start + bytes);
        atomic_store(&places[i].start, start);
        uint32_t count = atomic_load(&place_count);
        while (count <= i && !atomic_compare_exchange_weak(&place_count, &count, i + 1)) {
        }
        map->start = start;
        map->bytes = bytes;
        map->slot = i;
        return true;
    }
    return false;
}

void store_map_remove(struct store_map *map)
{
    if (map->start == 0) {
        return;
    }
    struct place *place = &places[map->slot];
    CELLAR_ASSERT(atomic_load(&place->map) == map);
    atomic_store(&place->start, 0);
    atomic_store(&place->map, NULL);
    map->start = 0;
    map->bytes = 0;
}

/* The map that holds the address. Called by the handler. */
static struct store_map *place_find(uintptr_t address)
{
    uint32_t count = atomic_load(&place_count);
    CELLAR_ASSERT(count <= STORE_MAP_COUNT_MAX);
    for (uint32_t i = 0; i < count; i++) {
        uintptr_t start = atomic_load(&places[i].start);
        if (start != 0 && address >= start && address < atomic_load(&places[i].end)) {
            return atomic_load(&places[i].map);
        }
    }
    return NULL;
}

/* ---- the fault ------------------------------------------------------------------------------- */

/* Called by the handler and by LMDB's assertions. */
static CELLAR_NORETURN void guard_leave(struct guard *guard, struct store_map *map)
{
    guard->map = map;
    atomic_store(&map->is_damaged, true);
    siglongjmp(guard->exit, 1);
}

/* Not ours: as if there were no handler. The instruction runs again and faults again, so that a
 * core shows where. A signal that somebody sent does not come again by itself. */
static void fault_pass_on(int number, const siginfo_t *facts)
{
    (void)sigaction(number, number == SIGBUS ? &bus_before : &segv_before, NULL);
    if (facts->si_code <= 0) {
        (void)raise(number);
    }
}

static void on_fault(int number, siginfo_t *facts, void *context)
{
    struct guard *guard = innermost;
    if (guard == NULL || facts->si_code <= 0) {
        fault_pass_on(number, facts);
        return;
    }
    uintptr_t address = (uintptr_t)facts->si_addr;
    struct store_map *map = place_find(address);
    map = map != NULL ? map : store_map_followed;
    if (map == NULL) {
        fault_pass_on(number, facts);
        return;
    }
    guard->offset = address - map->start < map->bytes ? address - map->start : 0;
    guard->why = number == SIGBUS ? "the page cannot be read" : "a page leads nowhere";
    const ucontext_t *before = context;
    (void)pthread_sigmask(SIG_SETMASK, &before->uc_sigmask, NULL);
    guard_leave(guard, map);
}

void store_map_guard_break(struct store_map *map, const char *why)
{
    struct guard *guard = innermost;
    CELLAR_ASSERT(map != NULL && why != NULL);
    if (guard != NULL) {
        guard->offset = 0;
        guard->why = why;
        guard_leave(guard, map);
    }
}

static void install(int number, struct sigaction *before)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    struct sigaction now;
    int result = sigaction(number, NULL, &now);
    CELLAR_ASSERT(result == 0);
    if ((now.sa_flags & SA_SIGINFO) == 0 || now.sa_sigaction != on_fault) {
        (void)sigemptyset(&action.sa_mask);
        result = sigaction(number, &action, before);
        CELLAR_ASSERT(result == 0);
    }
}

void store_map_guard_install(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    int result = pthread_mutex_lock(&lock);
    CELLAR_ASSERT(result == 0);
    install(SIGBUS, &bus_before);
    install(SIGSEGV, &segv_before);
    (void)pthread_mutex_unlock(&lock);
}

/* ---- the guard ------------------------------------------------------------------------------- */

/* Once a map: what follows are consequences. */
static void fault_tell(const struct guard *guard)
{
    CELLAR_ASSERT(guard->map != NULL && guard->why != NULL);
    if (!atomic_exchange(&guard->map->was_told, true)) {
        cellar_log(CELLAR_LOG_ERROR, "environment_damaged",
                   "directory=%s offset=%llu reason=\"%s\"", guard->map->name,
                   (unsigned long long)guard->offset, guard->why);
    }
}

/* Nothing that the first branch sets is looked at in the second, so no variable needs to be
 * volatile. */
static enum cellar_status guarded_run(struct guard *guard, store_map_work *work, void *context)
{
    guard->outer = innermost;
    if (sigsetjmp(guard->exit, 0) != 0) {
        innermost = guard->outer;
        store_map_followed = NULL;
        fault_tell(guard);
        return CELLAR_DATA_LOSS;
    }
    innermost = guard;
    atomic_signal_fence(memory_order_seq_cst);
    enum cellar_status status = work(context);
    CELLAR_ASSERT(innermost == guard);
    innermost = guard->outer;
    return status;
}

/* The buffer for the jump, 200 bytes, is not zeroed first: a guard stands around every read. */
enum cellar_status store_map_guard(store_map_work *work, void *context)
{
    struct guard guard;
    CELLAR_ASSERT(work != NULL && store_map_followed == NULL);
    return guarded_run(&guard, work, context);
}
