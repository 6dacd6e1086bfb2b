#ifndef CELLAR_COMMON_SYNC_H
#define CELLAR_COMMON_SYNC_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <time.h>

#include "common/base.h"
#include "common/clock.h"

/*
 * Mutex, condition and once over pthreads, with annotations that clang checks (-Wthread-safety,
 * preset `tidy`). gcc sees plain pthread calls.
 *
 *     struct queue {
 *         struct cellar_mutex lock;
 *         size_t entry_count CELLAR_GUARDED_BY(lock);
 *     };
 *     static void queue_trim(struct queue *queue) CELLAR_REQUIRES(queue->lock);
 *
 * In C, clang cannot name a sibling field in a field's annotation, so CELLAR_GUARDED_BY checks that
 * *some* mutex is held and tells the reader which one; the annotations of functions name the mutex
 * and are checked exactly. Code that fills a structure before another thread can see it carries
 * CELLAR_NO_THREAD_SAFETY. Errors of pthread calls here are broken invariants and are asserted.
 */

#if defined(__clang__)
#define CELLAR_THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define CELLAR_THREAD_ATTRIBUTE(x)
#endif

/** Marks a structure as a lock. */
#define CELLAR_CAPABILITY(name) CELLAR_THREAD_ATTRIBUTE(capability(name))
/** The field is read and written only while `mutex`, a field of the same structure, is held. */
#define CELLAR_GUARDED_BY(mutex) CELLAR_THREAD_ATTRIBUTE(guarded_var)
/** What the pointer points at is read and written only while `mutex` is held. */
#define CELLAR_PT_GUARDED_BY(mutex) CELLAR_THREAD_ATTRIBUTE(pt_guarded_var)
/** The caller holds the mutexes. */
#define CELLAR_REQUIRES(...) CELLAR_THREAD_ATTRIBUTE(requires_capability(__VA_ARGS__))
/** The caller does not hold the mutexes. */
#define CELLAR_EXCLUDES(...) CELLAR_THREAD_ATTRIBUTE(locks_excluded(__VA_ARGS__))
/** The function takes the mutexes and returns with them held. */
#define CELLAR_ACQUIRE(...) CELLAR_THREAD_ATTRIBUTE(acquire_capability(__VA_ARGS__))
/** The function takes the mutex when it returns `result`. */
#define CELLAR_TRY_ACQUIRE(result, ...)                                                            \
    CELLAR_THREAD_ATTRIBUTE(try_acquire_capability(result, __VA_ARGS__))
/** The function lets the mutexes, held at its start, go. */
#define CELLAR_RELEASE(...) CELLAR_THREAD_ATTRIBUTE(release_capability(__VA_ARGS__))
/** The function is not checked; the reason stands beside it. */
#define CELLAR_NO_THREAD_SAFETY CELLAR_THREAD_ATTRIBUTE(no_thread_safety_analysis)

/** A mutex in the caller's storage; not recursive, does not move while in use. */
struct CELLAR_CAPABILITY("mutex") cellar_mutex {
    pthread_mutex_t native;
};

/** A condition in the caller's storage; its time-outs are in monotonic time. */
struct cellar_cond {
    pthread_cond_t native;
};

/** A thing to do once in a process; starts as CELLAR_ONCE_INIT. */
struct cellar_once {
    pthread_once_t native;
};

/** A mutex that needs no cellar_mutex_init(), for objects that live as long as the process. */
#define CELLAR_MUTEX_INIT                                                                          \
    {                                                                                              \
        PTHREAD_MUTEX_INITIALIZER                                                                  \
    }
#define CELLAR_ONCE_INIT                                                                           \
    {                                                                                              \
        PTHREAD_ONCE_INIT                                                                          \
    }

/** Makes an unlocked mutex. */
static inline void cellar_mutex_init(struct cellar_mutex *mutex)
{
    int error = pthread_mutex_init(&mutex->native, NULL);
    CELLAR_ASSERT(error == 0);
}

/** Ends a mutex that nobody holds or waits for. */
static inline void cellar_mutex_fini(struct cellar_mutex *mutex)
{
    int error = pthread_mutex_destroy(&mutex->native);
    CELLAR_ASSERT(error == 0);
}

/** Waits for the mutex and holds it; a thread does not lock what it already holds. Any thread. */
static inline void cellar_mutex_lock(struct cellar_mutex *mutex) CELLAR_ACQUIRE(mutex)
    CELLAR_NO_THREAD_SAFETY
{
    int error = pthread_mutex_lock(&mutex->native);
    CELLAR_ASSERT(error == 0);
}

/** Takes the mutex if it is free; returns whether it is now held. Any thread. */
static inline bool cellar_mutex_try_lock(struct cellar_mutex *mutex) CELLAR_TRY_ACQUIRE(true, mutex)
    CELLAR_NO_THREAD_SAFETY
{
    int error = pthread_mutex_trylock(&mutex->native);
    CELLAR_ASSERT(error == 0 || error == EBUSY);
    return error == 0;
}

/** Lets the mutex go; only the thread that holds it does. */
static inline void cellar_mutex_unlock(struct cellar_mutex *mutex) CELLAR_RELEASE(mutex)
    CELLAR_NO_THREAD_SAFETY
{
    int error = pthread_mutex_unlock(&mutex->native);
    CELLAR_ASSERT(error == 0);
}

/** Makes a condition that measures time-outs on CLOCK_MONOTONIC. */
static inline void cellar_cond_init(struct cellar_cond *cond)
{
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);
    CELLAR_ASSERT(error == 0);
    error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    CELLAR_ASSERT(error == 0);
    error = pthread_cond_init(&cond->native, &attributes);
    CELLAR_ASSERT(error == 0);
    (void)pthread_condattr_destroy(&attributes);
}

/** Ends a condition that nobody waits for. */
static inline void cellar_cond_fini(struct cellar_cond *cond)
{
    int error = pthread_cond_destroy(&cond->native);
    CELLAR_ASSERT(error == 0);
}

/**
 * Lets `mutex` go, waits for a signal, and holds `mutex` again. It may return without a signal, so
 * the caller tests what it waits for in a loop.
 */
static inline void cellar_cond_wait(struct cellar_cond *cond, struct cellar_mutex *mutex)
    CELLAR_REQUIRES(mutex)
{
    int error = pthread_cond_wait(&cond->native, &mutex->native);
    CELLAR_ASSERT(error == 0);
}

/**
 * As cellar_cond_wait(), but until a moment at most.
 *
 * @param deadline_us  microseconds of cellar_clock_monotonic_us(), >= 0; a moment in the past
 *                     returns at once. What is left at the call passes in real time, under a fake
 *                     clock too, so a fake that stands still makes no waiter spin.
 * @return false when the deadline has passed; `mutex` is held either way
 */
static inline bool cellar_cond_timedwait(struct cellar_cond *cond, struct cellar_mutex *mutex,
                                         int64_t deadline_us) CELLAR_REQUIRES(mutex)
{
    CELLAR_ASSERT(deadline_us >= 0);
    int64_t real_us = cellar_clock_real_deadline_us(deadline_us);
    struct timespec until = {.tv_sec = (time_t)(real_us / 1000000),
                             .tv_nsec = (long)(real_us % 1000000) * 1000};
    int error = pthread_cond_timedwait(&cond->native, &mutex->native, &until);
    CELLAR_ASSERT(error == 0 || error == ETIMEDOUT);
    return error == 0;
}

/** Wakes at least one waiter, if there is one. Any thread, with or without the mutex. */
static inline void cellar_cond_signal(struct cellar_cond *cond)
{
    int error = pthread_cond_signal(&cond->native);
    CELLAR_ASSERT(error == 0);
}

/** Wakes every waiter. Any thread, with or without the mutex. */
static inline void cellar_cond_broadcast(struct cellar_cond *cond)
{
    int error = pthread_cond_broadcast(&cond->native);
    CELLAR_ASSERT(error == 0);
}

/** Loads before it are done before loads behind it, also where no atomic orders them, such as loads
 * inside a library. The thread sanitizer knows no fences, and sees no such loads either. */
static inline void cellar_fence_loads(void)
{
#if defined(__SANITIZE_THREAD__)
    atomic_signal_fence(memory_order_acquire);
#else
    atomic_thread_fence(memory_order_acquire);
#endif
}

/** Names the calling thread for tools that list threads, such as `top -H`. @param name  at most 15
 * bytes; longer ones are cut */
static inline void cellar_thread_name_set(const char *name)
{
    int result = prctl(PR_SET_NAME, name, 0, 0, 0);
    CELLAR_ASSERT(result == 0);
}

/** Calls `run` in the first thread that comes; the others wait until it has returned. */
static inline void cellar_once_run(struct cellar_once *once, void (*run)(void))
{
    int error = pthread_once(&once->native, run);
    CELLAR_ASSERT(error == 0);
}

#endif
