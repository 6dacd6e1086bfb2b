/*
 * A library for LD_PRELOAD that lets writes and syncs of some files fail, as a bad or full disk
 * does, for as long as a test likes (system/storage_faults_test.py).
 *
 * CELLAR_IO_FAULTS names a file of FAULT_BYTES_MAX bytes, which is mapped. It holds nothing (its
 * first byte is 0: all calls go through) or `CALL ERRNO PART`, ended by a zero byte: calls of the
 * kind `write` or `sync` on a descriptor whose path has PART in it fail with that errno. With errno
 * 0 a write takes a part of its bytes only, and nothing of what is left of it the next time, which
 * is what a disk does that becomes full.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/base.h"

#define EXPORT __attribute__((visibility("default")))
#define FAULT_BYTES_MAX 256u
#define PATH_BYTES_MAX 4096u

static const volatile char *faults;

static void __attribute__((constructor)) faults_map(void)
{
    const char *path = getenv("CELLAR_IO_FAULTS");
    int descriptor = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return; /* a program between the test and the server */
    }
    void *memory = mmap(NULL, FAULT_BYTES_MAX, PROT_READ, MAP_SHARED, descriptor, 0);
    CELLAR_ASSERT(memory != MAP_FAILED);
    faults = memory;
    (void)close(descriptor);
}

static bool path_has(int descriptor, const char *part)
{
    char link[64];
    char path[PATH_BYTES_MAX];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t bytes = readlink(link, path, sizeof path - 1);
    path[bytes < 0 ? 0 : bytes] = '\0';
    CELLAR_ASSERT(part[0] != '\0');
    return strstr(path, part) != NULL;
}

/* Whether a call is to fail. @param code  receives the errno, 0: partly */
static bool is_faulty(const char *call, int descriptor, int *code)
{
    char text[FAULT_BYTES_MAX];
    char *rest = NULL;
    if (faults == NULL || faults[0] == '\0') {
        return false;
    }
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = faults[i];
    }
    text[sizeof text - 1] = '\0';
    const char *word = strtok_r(text, " ", &rest);
    const char *number = strtok_r(NULL, " ", &rest);
    const char *part = strtok_r(NULL, " ", &rest);
    CELLAR_ASSERT(word == NULL || strlen(word) < sizeof text);
    if (word == NULL || number == NULL || part == NULL || strcmp(word, call) != 0) {
        return false;
    }
    *code = (int)strtol(number, NULL, 10);
    return path_has(descriptor, part);
}

/* LMDB writes pages with pwritev(2) or pwrite(2), and the log with pwrite(2). */
EXPORT ssize_t pwrite(int descriptor, const void *data, size_t bytes, off_t offset)
{
    int code = 0;
    if (is_faulty("write", descriptor, &code)) {
        if (code == 0 && bytes > 1024) {
            return syscall(SYS_pwrite64, descriptor, data, bytes / 2, offset);
        }
        errno = code == 0 ? ENOSPC : code;
        return -1;
    }
    return syscall(SYS_pwrite64, descriptor, data, bytes, offset);
}

EXPORT ssize_t pwrite64(int descriptor, const void *data, size_t bytes, off64_t offset)
{
    return pwrite(descriptor, data, bytes, offset);
}

EXPORT ssize_t pwritev(int descriptor, const struct iovec *pieces, int count, off_t offset)
{
    int code = 0;
    if (is_faulty("write", descriptor, &code)) {
        CELLAR_ASSERT(count > 0);
        if (code == 0) {
            return syscall(SYS_pwritev, descriptor, pieces, 1, offset, 0);
        }
        errno = code;
        return -1;
    }
    return syscall(SYS_pwritev, descriptor, pieces, count, offset, 0);
}

EXPORT ssize_t pwritev64(int descriptor, const struct iovec *pieces, int count, off64_t offset)
{
    return pwritev(descriptor, pieces, count, offset);
}

static int sync_call(long number, int descriptor)
{
    int code = 0;
    if (is_faulty("sync", descriptor, &code)) {
        CELLAR_ASSERT(code != 0);
        errno = code;
        return -1;
    }
    return (int)syscall(number, descriptor);
}

EXPORT int fdatasync(int descriptor)
{
    return sync_call(SYS_fdatasync, descriptor);
}

EXPORT int fsync(int descriptor)
{
    return sync_call(SYS_fsync, descriptor);
}
