/*
 * Processor time and owners of sockets, as /proc tells them: proc(5).
 *
 * A server may be one process or a tree of them (one for each connection, in some), so the whole
 * tree below a process is added up: fields 14 to 17 of each one's `stat`, its own time and that of
 * the children that it has waited for. The tree is walked by task/TID/children, to a bounded depth
 * and count, since processes come and go meanwhile.
 *
 * The owner of a listening socket is found by its inode: `net/tcp` and `net/tcp6` give the inode of
 * a port, and some process has a descriptor that links to it.
 *
 * Nothing is kept; any thread.
 */

#include "client/tools/bench_process.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PATH_BYTES 320u
#define DEPTH_MAX 16u
#define PROCESSES_MAX 100000u
#define STATE_LISTEN 0x0Au

/* A walk over a tree of processes. */
struct walk {
    uint64_t ticks;
    uint32_t process_count;
    uint32_t depth;
};

static bool tree_add(struct walk *walk, int64_t pid);

/* Adds one process's own time and that of its dead children; false when it is gone. */
static bool process_add(struct walk *walk, int64_t pid)
{
    char path[PATH_BYTES];
    char text[1024];
    CELLAR_ASSERT(pid > 0);
    (void)snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    size_t bytes = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[bytes] = '\0';
    /* The name in parentheses may hold anything; field 3 stands behind the last of them. */
    char *at = strrchr(text, ')');
    for (int field = 3; at != NULL && field <= 14; field++) {
        at = strchr(at + 1, ' ');
    }
    for (int field = 14; at != NULL && field <= 17; field++) {
        walk->ticks += strtoull(at, &at, 10);
    }
    return at != NULL;
}

/* Adds the children that one thread of a process has started. */
static void children_add(struct walk *walk, int64_t pid, const char *thread)
{
    char path[PATH_BYTES];
    int64_t child = 0;
    int byte;
    CELLAR_ASSERT(walk->depth <= DEPTH_MAX);
    (void)snprintf(path, sizeof path, "/proc/%" PRId64 "/task/%s/children", pid, thread);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return;
    }
    do { /* numbers with a blank behind each */
        byte = fgetc(file);
        if (byte >= '0' && byte <= '9' && child <= INT32_MAX) {
            child = child * 10 + (byte - '0');
        } else if (child > 0) {
            (void)tree_add(walk, child);
            child = 0;
        }
    } while (byte != EOF);
    (void)fclose(file);
}

/* Adds a process and everything below it; false when it is gone itself. */
static bool tree_add(struct walk *walk, int64_t pid)
{
    char path[PATH_BYTES];
    const struct dirent *entry;
    CELLAR_ASSERT(walk->process_count <= PROCESSES_MAX);
    if (walk->depth == DEPTH_MAX || walk->process_count == PROCESSES_MAX) {
        return true;
    }
    walk->process_count++;
    if (!process_add(walk, pid)) {
        return false;
    }
    (void)snprintf(path, sizeof path, "/proc/%" PRId64 "/task", pid);
    DIR *threads = opendir(path);
    if (threads == NULL) {
        return true;
    }
    walk->depth++;
    while ((entry = readdir(threads)) != NULL) {
        if (entry->d_name[0] != '.') {
            children_add(walk, pid, entry->d_name);
        }
    }
    walk->depth--;
    (void)closedir(threads);
    return true;
}

bool cellar_bench_process_cpu_us(int64_t pid, int64_t *cpu_us)
{
    struct walk walk = {0};
    long ticks_a_second = sysconf(_SC_CLK_TCK);
    CELLAR_ASSERT(pid > 0);
    if (ticks_a_second <= 0 || !tree_add(&walk, pid)) {
        return false;
    }
    *cpu_us = (int64_t)(walk.ticks * 1000000 / (uint64_t)ticks_a_second);
    return true;
}

int64_t cellar_bench_own_cpu_us(void)
{
    struct rusage usage;
    int result = getrusage(RUSAGE_SELF, &usage);
    CELLAR_ASSERT(result == 0);
    return (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

/* The start of a line's field, counted from 0; at the line's end when there are fewer. */
static const char *field_find(const char *line, int index)
{
    const char *at = line + strspn(line, " ");
    CELLAR_ASSERT(index >= 0);
    for (; index > 0; index--) {
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    return at;
}

/* The inode of the socket that listens on a port, by one of the two tables; 0 when there is none.
 */
static uint64_t listener_inode(const char *table, uint16_t port)
{
    char line[512];
    uint64_t found = 0;
    FILE *file = fopen(table, "re");
    CELLAR_ASSERT(port > 0);
    if (file == NULL) {
        return 0;
    }
    /* sl local:port remote:port st queues timer retransmits uid timeout inode; numbers in hex */
    while (found == 0 && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(field_find(line, 1), ':');
        if (colon != NULL && strtoul(colon + 1, NULL, 16) == port &&
            strtoul(field_find(line, 3), NULL, 16) == STATE_LISTEN) {
            found = strtoull(field_find(line, 9), NULL, 10);
        }
    }
    (void)fclose(file);
    return found;
}

/* True when a process has a descriptor of that socket. */
static bool process_has_socket(const char *pid, uint64_t inode)
{
    char path[PATH_BYTES];
    char wanted[48];
    char link[48];
    bool has_it = false;
    const struct dirent *entry;
    CELLAR_ASSERT(inode != 0);
    (void)snprintf(wanted, sizeof wanted, "socket:[%" PRIu64 "]", inode);
    (void)snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return false;
    }
    while (!has_it && (entry = readdir(folder)) != NULL) {
        ssize_t bytes = readlinkat(dirfd(folder), entry->d_name, link, sizeof link - 1);
        link[bytes < 0 ? 0 : bytes] = '\0';
        has_it = strcmp(link, wanted) == 0;
    }
    (void)closedir(folder);
    return has_it;
}

bool cellar_bench_process_find(uint16_t port, int64_t *pid)
{
    uint64_t inode = listener_inode("/proc/net/tcp", port);
    const struct dirent *entry;
    int64_t found = 0;
    CELLAR_ASSERT(pid != NULL);
    if (inode == 0) {
        inode = listener_inode("/proc/net/tcp6", port);
    }
    DIR *folder = inode == 0 ? NULL : opendir("/proc");
    if (folder == NULL) {
        return false;
    }
    /* The lowest of them is taken: children have their parent's listening sockets. */
    while ((entry = readdir(folder)) != NULL) {
        char *end;
        int64_t number = strtoll(entry->d_name, &end, 10);
        if (*end == '\0' && number > 0 && (found == 0 || number < found) &&
            process_has_socket(entry->d_name, inode)) {
            found = number;
        }
    }
    (void)closedir(folder);
    if (found > 0) {
        *pid = found;
    }
    return found > 0;
}
