/*
 * A library for LD_PRELOAD that holds a server's reads of cold tablets at their beginning, as a
 * disk that does not answer would, for as long as a test likes (system/cold_reads_test.py).
 *
 * A step of such a read asks for its thread's page faults before it touches any page: getrusage()
 * of a thread is interposed here. While the file named by CELLAR_READ_GATE exists, who asks waits,
 * and a file of that name with ".held" behind it tells that somebody does. Event loops are let
 * through: they ask, too, behind a step that was slow.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/base.h"

#define LOOK_NS 1000000
#define PATH_BYTES_MAX 4096

static void hold(const char *gate)
{
    char told[PATH_BYTES_MAX];
    struct timespec wait = {.tv_nsec = LOOK_NS};
    int length = snprintf(told, sizeof told, "%s.held", gate);
    CELLAR_ASSERT(length > 0 && (size_t)length < sizeof told);
    while (access(gate, F_OK) == 0) {
        FILE *file = fopen(told, "we");
        CELLAR_ASSERT(file != NULL);
        (void)fclose(file);
        (void)nanosleep(&wait, NULL);
    }
}

__attribute__((visibility("default"))) int getrusage(__rusage_who_t who, struct rusage *usage)
{
    char name[17] = "";
    const char *gate = getenv("CELLAR_READ_GATE");
    CELLAR_ASSERT(usage != NULL);
    (void)prctl(PR_GET_NAME, name);
    if (gate != NULL && who == RUSAGE_THREAD && strcmp(name, "loop") != 0) {
        hold(gate);
    }
    return (int)syscall(SYS_getrusage, who, usage);
}
