/*
 * A flag under a lock, and a condition for those who wait.
 *
 * A mutex held for so long would do the same, but nothing is allocated and no disk is waited for
 * while a lock is held. Who has the gate lets go of it in the same function, so that nobody waits
 * for ever: a server that stops lets all of them through, one after the other.
 */
#include "server/service/gate.h"

void svc_gate_init(struct svc_gate *gate) CELLAR_NO_THREAD_SAFETY
{
    cellar_mutex_init(&gate->lock);
    cellar_cond_init(&gate->changed);
    gate->is_taken = false;
    CELLAR_ASSERT(!gate->is_taken);
}

void svc_gate_fini(struct svc_gate *gate) CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(!gate->is_taken);
    cellar_cond_fini(&gate->changed);
    cellar_mutex_fini(&gate->lock);
}

void svc_gate_enter(struct svc_gate *gate)
{
    cellar_mutex_lock(&gate->lock);
    while (gate->is_taken) {
        cellar_cond_wait(&gate->changed, &gate->lock);
    }
    gate->is_taken = true;
    CELLAR_ASSERT(gate->is_taken);
    cellar_mutex_unlock(&gate->lock);
}

/* One is woken: each that enters wakes the next. */
void svc_gate_leave(struct svc_gate *gate)
{
    cellar_mutex_lock(&gate->lock);
    CELLAR_ASSERT(gate->is_taken);
    gate->is_taken = false;
    cellar_cond_signal(&gate->changed);
    cellar_mutex_unlock(&gate->lock);
}
