/*
 * getaddrinfo() without waiting for it.
 *
 * The system's resolver blocks for as long as its configuration says, and cannot be told to stop.
 * So a name is looked up on a detached thread, one for each lookup, which happens once for each new
 * connection; a number needs no resolver and no thread. A lookup has two owners, the one who asked
 * and the thread: whoever lets go last frees it. The one who asked may let go early, when his time
 * is over; the thread then finds nobody to wake.
 *
 * `wake` is called with the lock held, so that after cellar_lookup_free() it is not running; it
 * must not call back.
 */

#include "client/lib/lookup.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "common/mem.h"
#include "common/sync.h"

struct cellar_lookup {
    struct cellar_address address;
    struct cellar_mutex lock;
    cellar_lookup_wake *wake CELLAR_GUARDED_BY(lock); /* NULL = nobody waits any more */
    void *context CELLAR_GUARDED_BY(lock);
    bool is_done CELLAR_GUARDED_BY(lock);
    bool is_shared CELLAR_GUARDED_BY(lock); /* the thread has not let go */
    int code CELLAR_GUARDED_BY(lock);       /* of getaddrinfo() */
    struct addrinfo *list CELLAR_GUARDED_BY(lock);
};

/* Not checked: the last owner is alone. */
static void lookup_destroy(struct cellar_lookup *lookup) CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(!lookup->is_shared);
    if (lookup->list != NULL) {
        freeaddrinfo(lookup->list);
    }
    cellar_mutex_fini(&lookup->lock);
    cellar_mem_free(lookup);
}

/* Asks the resolver; `flags` are further ones. */
static int resolve(const struct cellar_address *address, int flags, struct addrinfo **list)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
    CELLAR_ASSERT(address->host[0] != '\0');
    return getaddrinfo(address->host, address->port, &hints, list);
}

/* The thread. */
static void *lookup_main(void *argument)
{
    struct cellar_lookup *lookup = argument;
    struct addrinfo *list = NULL;
    sigset_t all;
    (void)sigfillset(&all); /* a program's handlers run on its own threads */
    (void)pthread_sigmask(SIG_SETMASK, &all, NULL);
    int code = resolve(&lookup->address, 0, &list);
    cellar_mutex_lock(&lookup->lock);
    CELLAR_ASSERT(!lookup->is_done);
    lookup->code = code;
    lookup->list = list;
    lookup->is_done = true;
    lookup->is_shared = false;
    bool is_last = lookup->wake == NULL;
    if (!is_last) {
        lookup->wake(lookup->context);
    }
    cellar_mutex_unlock(&lookup->lock);
    if (is_last) {
        lookup_destroy(lookup);
    }
    return NULL;
}

/* Starts the thread; an errno. Not checked: it is told of before it exists. */
static int lookup_thread(struct cellar_lookup *lookup) CELLAR_NO_THREAD_SAFETY
{
    pthread_attr_t attributes;
    pthread_t thread;
    lookup->is_shared = true;
    int code = pthread_attr_init(&attributes);
    CELLAR_ASSERT(code == 0);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    code = pthread_create(&thread, &attributes, lookup_main, lookup);
    (void)pthread_attr_destroy(&attributes);
    if (code != 0) { /* else it is the thread's from here on */
        lookup->is_shared = false;
    }
    return code;
}

enum cellar_status cellar_lookup_start(const struct cellar_address *address,
                                       cellar_lookup_wake *wake, void *context,
                                       struct cellar_lookup **lookup) CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(wake != NULL);
    struct cellar_lookup *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        return CELLAR_NO_MEMORY;
    }
    made->address = *address;
    made->wake = wake;
    made->context = context;
    cellar_mutex_init(&made->lock);
    made->code = resolve(address, AI_NUMERICHOST, &made->list);
    made->is_done = made->code != EAI_NONAME;
    if (!made->is_done && lookup_thread(made) != 0) {
        lookup_destroy(made);
        return CELLAR_UNAVAILABLE;
    }
    *lookup = made;
    return CELLAR_OK;
}

enum cellar_status cellar_lookup_get(struct cellar_lookup *lookup, bool *is_done,
                                     const struct addrinfo **list, struct cellar_error *error)
{
    cellar_mutex_lock(&lookup->lock);
    int code = lookup->is_done ? lookup->code : 0;
    *is_done = lookup->is_done;
    if (lookup->is_done && code == 0) {
        *list = lookup->list;
    }
    cellar_mutex_unlock(&lookup->lock);
    CELLAR_ASSERT(*is_done || code == 0);
    if (code == 0) {
        return CELLAR_OK;
    }
    return cellar_error_set(
        error, code == EAI_NONAME ? CELLAR_INVALID_ARGUMENT : CELLAR_UNAVAILABLE,
        "Cannot look up the host '%s': %s", lookup->address.host, gai_strerror(code));
}

void cellar_lookup_free(struct cellar_lookup *lookup)
{
    if (lookup == NULL) {
        return;
    }
    cellar_mutex_lock(&lookup->lock);
    CELLAR_ASSERT(lookup->wake != NULL);
    lookup->wake = NULL;
    bool is_last = !lookup->is_shared;
    cellar_mutex_unlock(&lookup->lock);
    if (is_last) {
        lookup_destroy(lookup);
    }
}
