#ifndef CELLAR_SERVICE_GATE_H
#define CELLAR_SERVICE_GATE_H

#include "common/sync.h"

/*
 * A gate that one thread at a time passes: what needs so much memory that two of it are too much.
 * Between enter and leave nothing is locked; the thread may allocate and wait for the disk.
 */

struct svc_gate {
    struct cellar_mutex lock;
    struct cellar_cond changed;
    bool is_taken CELLAR_GUARDED_BY(lock);
};

/** Makes a gate that nobody has. Once, before others see it. */
void svc_gate_init(struct svc_gate *gate);

/** Frees what the gate holds; nobody has it or waits for it. */
void svc_gate_fini(struct svc_gate *gate);

/** Waits until nobody has the gate, and takes it. @thread any that may block; not one that has it
 */
void svc_gate_enter(struct svc_gate *gate);

/** Lets the next one in. @thread the one that entered */
void svc_gate_leave(struct svc_gate *gate);

#endif
