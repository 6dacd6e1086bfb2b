/*
 * A library for LD_PRELOAD that writes down, in one order, what a program does to the files of one
 * directory and what it sends to its clients. The tests of durability (system/power_loss_test.py)
 * replay the trace to any point and build what a disk could hold there.
 *
 * How it works: each interposed call takes one lock, does the system call itself (no libc wrapper
 * is called back) and appends one record to the trace, so a record stands behind everything that
 * had happened before it. An answer that stands behind a sync's end was sent after it. Syncs alone
 * run without the lock, between a BEGIN and an END record: a trace cut between the two holds a sync
 * that has not completed. Writes through O_DSYNC descriptors are marked: they are durable at
 * return.
 *
 * Not seen: stdio's own writes and mappings. A writable shared mapping is recorded by name only;
 * the replayer compares its idea of the files with the real ones, so a hole would be noticed.
 *
 * Environment: CELLAR_RECORD_DIR (the directory, absolute, without symbolic links),
 * CELLAR_RECORD_TRACE (the trace, appended to) and, if wanted, CELLAR_RECORD_CONTROL: a file of at
 * least two bytes. Once the first byte is not 0 the process kills itself right behind the next
 * record, that is with no write half done. While the second one is not 0, who writes to the file of
 * a store waits before he does: with 1 to one of its first generation, with 2 to one of a later,
 * behind its first 128 KiB, which is what making it takes.
 *
 * A record is `struct record`, its name, then its data, which is left out when all of it is zero.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "common/base.h"

#define EXPORT __attribute__((visibility("default")))
#define DESCRIPTOR_MAX 65536
#define PIECE_COUNT_MAX 1024
#define MAKING_BYTES 131072 /* of a new store's file */

enum kind {
    KIND_START = 'S', /* the process begins; no descriptor is open */
    KIND_OPEN = 'O',  /* name; offset: open's flags */
    KIND_CLOSE = 'C',
    KIND_WRITE = 'W',      /* offset, data */
    KIND_TRUNCATE = 'T',   /* offset: the new size */
    KIND_ALLOCATE = 'A',   /* offset: the size reached at least */
    KIND_SYNC_BEGIN = 'B', /* offset: a number that END repeats */
    KIND_SYNC_END = 'E',
    KIND_MAKE = 'D',   /* a directory, name */
    KIND_REMOVE = 'X', /* a directory, name */
    KIND_UNLINK = 'U', /* name */
    KIND_RENAME = 'R', /* name: the old one, a zero byte, the new one */
    KIND_MAP = 'M',    /* a writable shared mapping */
    KIND_SEND = 'P'    /* descriptor: the peer's port; data */
};

enum {
    FLAG_CREATED = 1,   /* OPEN made the file */
    FLAG_DSYNC = 2,     /* durable at return */
    FLAG_ZERO = 4,      /* the data is all zero and left out */
    FLAG_DIRECTORY = 8, /* OPEN of a directory */
    FLAG_TRUNCATED = 16 /* OPEN cut the file to nothing */
};

struct record {
    uint8_t kind;
    uint8_t flags;
    uint16_t name_bytes;
    int32_t descriptor;
    uint64_t offset;
    uint64_t data_bytes;
};

static_assert(sizeof(struct record) == 24, "the replayer reads 24 bytes");

enum { SEEN_NOT, SEEN_FILE, SEEN_DSYNC, SEEN_OTHER };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;
static const volatile uint8_t *control;
static char root[PATH_MAX];
static size_t root_bytes;
static uint8_t seen[DESCRIPTOR_MAX];
static uint64_t sync_count;

/* ---- the trace ------------------------------------------------------------------------------- */

static size_t pieces_bytes(const struct iovec *pieces, int count)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++) {
        bytes += pieces[i].iov_len;
    }
    return bytes;
}

static bool pieces_are_zero(const struct iovec *pieces, int count)
{
    for (int i = 0; i < count; i++) {
        const char *data = pieces[i].iov_base;
        size_t bytes = pieces[i].iov_len;
        if (bytes > 0 && (data[0] != 0 || memcmp(data, data + 1, bytes - 1) != 0)) {
            return false;
        }
    }
    return true;
}

/* Appends one record under the lock; `bytes` cuts the pieces to what the call really wrote. */
static void emit(struct record record, const char *name, const struct iovec *pieces, int count,
                 size_t bytes)
{
    struct iovec all[PIECE_COUNT_MAX + 2];
    int error = errno;
    int used = 2;
    CELLAR_ASSERT(count <= PIECE_COUNT_MAX && bytes <= pieces_bytes(pieces, count));
    record.data_bytes = bytes;
    if (bytes >= 64 && pieces_are_zero(pieces, count)) {
        record.flags |= FLAG_ZERO;
        count = 0;
    }
    all[0] = (struct iovec){&record, sizeof record};
    all[1] = (struct iovec){(void *)(uintptr_t)name, record.name_bytes};
    size_t total = sizeof record + record.name_bytes;
    for (int i = 0; i < count && bytes > 0; i++) {
        size_t piece = CELLAR_MIN(pieces[i].iov_len, bytes);
        all[used++] = (struct iovec){pieces[i].iov_base, piece};
        total += piece;
        bytes -= piece;
    }
    long written = syscall(SYS_writev, trace, all, used);
    CELLAR_ASSERT(written >= 0 && (size_t)written == total);
    if (control != NULL && *control != 0) {
        (void)syscall(SYS_kill, getpid(), SIGKILL);
        (void)pause();
    }
    errno = error;
}

static void emit_plain(enum kind kind, int flags, int descriptor, uint64_t offset, const char *name)
{
    struct record record = {.kind = (uint8_t)kind,
                            .flags = (uint8_t)flags,
                            .name_bytes = (uint16_t)strlen(name),
                            .descriptor = descriptor,
                            .offset = offset};
    emit(record, name, NULL, 0, 0);
}

/* The name below the directory ("" for itself), or NULL for a path elsewhere. */
static const char *name_of(const char *path)
{
    if (root_bytes == 0 || strncmp(path, root, root_bytes) != 0) {
        return NULL;
    }
    if (path[root_bytes] == '\0') {
        return "";
    }
    return path[root_bytes] == '/' ? path + root_bytes + 1 : NULL;
}

/* The path of an open descriptor as the kernel knows it. */
static bool descriptor_path(int descriptor, char *path)
{
    char link[64];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t bytes = readlink(link, path, PATH_MAX - 1);
    if (bytes <= 0 || path[0] != '/') {
        return false;
    }
    path[bytes] = '\0';
    return strstr(path, " (deleted)") == NULL;
}

/* The real path of an entry that may not exist: its directory is resolved, its last part is not. */
static const char *entry_name(int directory, const char *path, char *real)
{
    char whole[PATH_MAX];
    char above[PATH_MAX];
    if (path[0] == '/') {
        (void)snprintf(whole, sizeof whole, "%s", path);
    } else {
        char base[PATH_MAX] = ".";
        if (directory != AT_FDCWD && !descriptor_path(directory, base)) {
            return NULL;
        }
        (void)snprintf(whole, sizeof whole, "%.2047s/%.2047s", base, path);
    }
    char *slash = strrchr(whole, '/');
    CELLAR_ASSERT(slash != NULL);
    const char *last = slash + 1;
    *slash = '\0';
    if (realpath(whole[0] == '\0' ? "/" : whole, above) == NULL) {
        return NULL;
    }
    (void)snprintf(real, PATH_MAX, "%.2047s/%.2047s", above, last);
    return name_of(real);
}

/* Under the lock: records a descriptor as open if it is a file or directory of ours. */
static void descriptor_note(int descriptor, int flags, bool is_created)
{
    char path[PATH_MAX];
    struct stat facts;
    CELLAR_ASSERT(descriptor >= 0 && descriptor < DESCRIPTOR_MAX);
    seen[descriptor] = SEEN_OTHER;
    const char *name = descriptor_path(descriptor, path) ? name_of(path) : NULL;
    if (name == NULL || fstat(descriptor, &facts) != 0) {
        return;
    }
    bool is_dsync = (flags & O_DSYNC) != 0;
    int noted = is_created ? FLAG_CREATED : 0;
    noted |= S_ISDIR(facts.st_mode) ? FLAG_DIRECTORY : 0;
    noted |= (flags & O_TRUNC) != 0 && !is_created ? FLAG_TRUNCATED : 0;
    seen[descriptor] = is_dsync ? SEEN_DSYNC : SEEN_FILE;
    emit_plain(KIND_OPEN, noted, descriptor, (uint64_t)(unsigned)flags, name);
}

/* Under the lock: whether the descriptor is ours; one that slipped in unseen is looked up. */
static bool is_ours(int descriptor)
{
    if (trace < 0 || descriptor < 0 || descriptor >= DESCRIPTOR_MAX) {
        return false;
    }
    if (seen[descriptor] == SEEN_NOT) {
        int flags = fcntl(descriptor, F_GETFL);
        descriptor_note(descriptor, flags < 0 ? 0 : flags & ~(O_CREAT | O_TRUNC), false);
    }
    return seen[descriptor] == SEEN_FILE || seen[descriptor] == SEEN_DSYNC;
}

__attribute__((constructor)) static void begin(void)
{
    const char *directory = getenv("CELLAR_RECORD_DIR");
    const char *path = getenv("CELLAR_RECORD_TRACE");
    const char *control_path = getenv("CELLAR_RECORD_CONTROL");
    if (directory == NULL || path == NULL) {
        return;
    }
    root_bytes = (size_t)snprintf(root, sizeof root, "%s", directory);
    trace =
        (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    CELLAR_ASSERT(trace >= 0 && root_bytes < sizeof root);
    if (control_path != NULL) {
        int descriptor = (int)syscall(SYS_openat, AT_FDCWD, control_path, O_RDONLY | O_CLOEXEC, 0);
        CELLAR_ASSERT(descriptor >= 0);
        void *map = (void *)syscall(SYS_mmap, NULL, 2, PROT_READ, MAP_SHARED, descriptor, 0);
        CELLAR_ASSERT(map != MAP_FAILED);
        control = map;
        (void)syscall(SYS_close, descriptor);
    }
    emit_plain(KIND_START, 0, getpid(), 0, "");
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static int open_recorded(int directory, const char *path, int flags, mode_t mode)
{
    if (trace < 0) {
        return (int)syscall(SYS_openat, directory, path, flags, mode);
    }
    (void)pthread_mutex_lock(&lock);
    bool was_there = syscall(SYS_faccessat, directory, path, F_OK) == 0;
    int descriptor = (int)syscall(SYS_openat, directory, path, flags, mode);
    if (descriptor >= 0) {
        descriptor_note(descriptor, flags, (flags & O_CREAT) != 0 && !was_there);
    }
    (void)pthread_mutex_unlock(&lock);
    return descriptor;
}

/* The mode argument of open, which is there only when a file may be made. */
#define OPEN_MODE(flags, mode)                                                                     \
    do {                                                                                           \
        if (((flags)&O_CREAT) != 0 || ((flags)&O_TMPFILE) == O_TMPFILE) {                          \
            va_list arguments;                                                                     \
            va_start(arguments, flags);                                                            \
            (mode) = va_arg(arguments, mode_t);                                                    \
            va_end(arguments);                                                                     \
        }                                                                                          \
    } while (0)

EXPORT int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    OPEN_MODE(flags, mode);
    return open_recorded(AT_FDCWD, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
    mode_t mode = 0;
    OPEN_MODE(flags, mode);
    return open_recorded(AT_FDCWD, path, flags, mode);
}

EXPORT int openat(int directory, const char *path, int flags, ...)
{
    mode_t mode = 0;
    OPEN_MODE(flags, mode);
    return open_recorded(directory, path, flags, mode);
}

EXPORT int openat64(int directory, const char *path, int flags, ...)
{
    mode_t mode = 0;
    OPEN_MODE(flags, mode);
    return open_recorded(directory, path, flags, mode);
}

EXPORT int creat(const char *path, mode_t mode)
{
    return open_recorded(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

/* The names that fortified programs call; NOLINT: they are glibc's, not ours. */
extern int __open_2(const char *path, int flags);                  // NOLINT
extern int __open64_2(const char *path, int flags);                // NOLINT
extern int __openat_2(int directory, const char *path, int flags); // NOLINT

EXPORT int __open_2(const char *path, int flags) // NOLINT
{
    return open_recorded(AT_FDCWD, path, flags, 0);
}

EXPORT int __open64_2(const char *path, int flags) // NOLINT
{
    return open_recorded(AT_FDCWD, path, flags, 0);
}

EXPORT int __openat_2(int directory, const char *path, int flags) // NOLINT
{
    return open_recorded(directory, path, flags, 0);
}

EXPORT int close(int descriptor)
{
    if (trace < 0 || descriptor < 0 || descriptor >= DESCRIPTOR_MAX) {
        return (int)syscall(SYS_close, descriptor);
    }
    (void)pthread_mutex_lock(&lock);
    if (seen[descriptor] == SEEN_FILE || seen[descriptor] == SEEN_DSYNC) {
        emit_plain(KIND_CLOSE, 0, descriptor, 0, "");
    }
    seen[descriptor] = SEEN_NOT;
    int result = (int)syscall(SYS_close, descriptor);
    (void)pthread_mutex_unlock(&lock);
    return result;
}

EXPORT void *mmap(void *address, size_t bytes, int protection, int flags, int descriptor,
                  off_t offset)
{
    void *map = (void *)syscall(SYS_mmap, address, bytes, protection, flags, descriptor, offset);
    bool is_written = (protection & PROT_WRITE) != 0 && (flags & MAP_SHARED) != 0;
    if (map != MAP_FAILED && is_written && descriptor >= 0 && trace >= 0) {
        (void)pthread_mutex_lock(&lock);
        if (is_ours(descriptor)) {
            emit_plain(KIND_MAP, 0, descriptor, 0, "");
        }
        (void)pthread_mutex_unlock(&lock);
    }
    return map;
}

/* ---- writes ---------------------------------------------------------------------------------- */

static void emit_write(int descriptor, uint64_t offset, const struct iovec *pieces, int count,
                       ssize_t written)
{
    struct record record = {.kind = KIND_WRITE,
                            .flags = seen[descriptor] == SEEN_DSYNC ? FLAG_DSYNC : 0,
                            .descriptor = descriptor,
                            .offset = offset};
    CELLAR_ASSERT(written > 0);
    emit(record, "", pieces, count, (size_t)written);
}

/* Bytes that went to a client; other descriptors are passed over. */
static void emit_send(int descriptor, const struct iovec *pieces, int count, ssize_t sent)
{
    struct sockaddr_in peer = {0};
    socklen_t peer_bytes = sizeof peer;
    int error = errno;
    if (sent > 0 && getpeername(descriptor, (struct sockaddr *)&peer, &peer_bytes) == 0 &&
        peer.sin_family == AF_INET) {
        struct record record = {.kind = KIND_SEND, .descriptor = ntohs(peer.sin_port)};
        emit(record, "", pieces, count, (size_t)sent);
    }
    errno = error;
}

/* Holds a write to a store's file back as long as the control file says so. The file's name is
 * stores/STORE/GENERATION/data.mdb. */
static void hold(int descriptor, off_t offset)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    char path[PATH_MAX];
    if (control == NULL || control[1] == 0 || !descriptor_path(descriptor, path)) {
        return;
    }
    const char *name = name_of(path);
    unsigned store = 0;
    unsigned generation = 0;
    if (name == NULL ||
        sscanf(name, "stores/%u/%u/data.mdb", &store, &generation) != 2) { // NOLINT(cert-err34-c)
        return;
    }
    CELLAR_ASSERT(generation > 0);
    off_t at = offset < 0 ? lseek(descriptor, 0, SEEK_CUR) : offset;
    while (control[1] == (generation == 1 ? 1 : 2) && (generation == 1 || at >= MAKING_BYTES)) {
        (void)syscall(SYS_nanosleep, &pause, NULL);
    }
}

/* All writes end here; `offset` < 0 is the descriptor's own position. */
static ssize_t write_recorded(int descriptor, const struct iovec *pieces, int count, off_t offset)
{
    hold(descriptor, offset);
    (void)pthread_mutex_lock(&lock);
    bool is_file = is_ours(descriptor);
    int call = offset < 0 ? SYS_writev : SYS_pwritev;
    ssize_t written = syscall(call, descriptor, pieces, count, offset < 0 ? 0 : offset, 0);
    if (is_file && written > 0) {
        off_t end = offset < 0 ? lseek(descriptor, 0, SEEK_CUR) : offset + written;
        CELLAR_ASSERT(end >= written);
        emit_write(descriptor, (uint64_t)(end - written), pieces, count, written);
    } else if (!is_file && trace >= 0 && offset < 0) {
        emit_send(descriptor, pieces, count, written);
    }
    (void)pthread_mutex_unlock(&lock);
    return written;
}

static ssize_t write_one(int descriptor, const void *data, size_t bytes, off_t offset)
{
    struct iovec piece = {(void *)(uintptr_t)data, bytes};
    return write_recorded(descriptor, &piece, 1, offset);
}

EXPORT ssize_t write(int descriptor, const void *data, size_t bytes)
{
    return write_one(descriptor, data, bytes, -1);
}

EXPORT ssize_t writev(int descriptor, const struct iovec *pieces, int count)
{
    return write_recorded(descriptor, pieces, count, -1);
}

EXPORT ssize_t pwrite(int descriptor, const void *data, size_t bytes, off_t offset)
{
    return write_one(descriptor, data, bytes, offset);
}

EXPORT ssize_t pwrite64(int descriptor, const void *data, size_t bytes, off64_t offset)
{
    return write_one(descriptor, data, bytes, offset);
}

EXPORT ssize_t pwritev(int descriptor, const struct iovec *pieces, int count, off_t offset)
{
    return write_recorded(descriptor, pieces, count, offset);
}

EXPORT ssize_t pwritev64(int descriptor, const struct iovec *pieces, int count, off64_t offset)
{
    return write_recorded(descriptor, pieces, count, offset);
}

EXPORT ssize_t send(int descriptor, const void *data, size_t bytes, int flags)
{
    struct iovec piece = {(void *)(uintptr_t)data, bytes};
    if (trace < 0) {
        return syscall(SYS_sendto, descriptor, data, bytes, flags, NULL, 0);
    }
    (void)pthread_mutex_lock(&lock);
    ssize_t sent = syscall(SYS_sendto, descriptor, data, bytes, flags, NULL, 0);
    emit_send(descriptor, &piece, 1, sent);
    (void)pthread_mutex_unlock(&lock);
    return sent;
}

EXPORT ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags)
{
    if (trace < 0) {
        return syscall(SYS_sendmsg, descriptor, message, flags);
    }
    (void)pthread_mutex_lock(&lock);
    ssize_t sent = syscall(SYS_sendmsg, descriptor, message, flags);
    emit_send(descriptor, message->msg_iov, (int)message->msg_iovlen, sent);
    (void)pthread_mutex_unlock(&lock);
    return sent;
}

/* ---- sizes ----------------------------------------------------------------------------------- */

EXPORT int ftruncate(int descriptor, off_t bytes)
{
    (void)pthread_mutex_lock(&lock);
    bool is_file = is_ours(descriptor);
    int result = (int)syscall(SYS_ftruncate, descriptor, bytes);
    if (result == 0 && is_file) {
        emit_plain(KIND_TRUNCATE, 0, descriptor, (uint64_t)bytes, "");
    }
    (void)pthread_mutex_unlock(&lock);
    return result;
}

EXPORT int ftruncate64(int descriptor, off64_t bytes)
{
    return ftruncate(descriptor, bytes);
}

EXPORT int fallocate(int descriptor, int mode, off_t offset, off_t bytes)
{
    (void)pthread_mutex_lock(&lock);
    bool is_file = is_ours(descriptor);
    int result = (int)syscall(SYS_fallocate, descriptor, mode, offset, bytes);
    if (result == 0 && is_file) {
        CELLAR_ASSERT(mode == 0 || mode == FALLOC_FL_KEEP_SIZE);
        emit_plain(KIND_ALLOCATE, 0, descriptor, mode == 0 ? (uint64_t)(offset + bytes) : 0, "");
    }
    (void)pthread_mutex_unlock(&lock);
    return result;
}

EXPORT int fallocate64(int descriptor, int mode, off64_t offset, off64_t bytes)
{
    return fallocate(descriptor, mode, offset, bytes);
}

EXPORT int posix_fallocate(int descriptor, off_t offset, off_t bytes)
{
    return fallocate(descriptor, 0, offset, bytes) == 0 ? 0 : errno;
}

EXPORT int posix_fallocate64(int descriptor, off64_t offset, off64_t bytes)
{
    return posix_fallocate(descriptor, offset, bytes);
}

/* ---- syncs ----------------------------------------------------------------------------------- */

/* Runs the call without the lock; END is written only for a sync that succeeded. */
static int sync_recorded(long call, int descriptor)
{
    (void)pthread_mutex_lock(&lock);
    bool is_file = is_ours(descriptor);
    uint64_t number = ++sync_count;
    if (is_file) {
        emit_plain(KIND_SYNC_BEGIN, 0, descriptor, number, "");
    }
    (void)pthread_mutex_unlock(&lock);
    int result = (int)syscall(call, descriptor);
    if (is_file && result == 0) {
        (void)pthread_mutex_lock(&lock);
        emit_plain(KIND_SYNC_END, 0, descriptor, number, "");
        (void)pthread_mutex_unlock(&lock);
    }
    return result;
}

EXPORT int fsync(int descriptor)
{
    return sync_recorded(SYS_fsync, descriptor);
}

EXPORT int fdatasync(int descriptor)
{
    return sync_recorded(SYS_fdatasync, descriptor);
}

/* ---- names ----------------------------------------------------------------------------------- */

static int unlink_recorded(int directory, const char *path, int flags)
{
    char real[PATH_MAX];
    (void)pthread_mutex_lock(&lock);
    const char *name = trace < 0 ? NULL : entry_name(directory, path, real);
    int result = (int)syscall(SYS_unlinkat, directory, path, flags);
    if (result == 0 && name != NULL) {
        emit_plain((flags & AT_REMOVEDIR) != 0 ? KIND_REMOVE : KIND_UNLINK, 0, -1, 0, name);
    }
    (void)pthread_mutex_unlock(&lock);
    return result;
}

EXPORT int unlink(const char *path)
{
    return unlink_recorded(AT_FDCWD, path, 0);
}

EXPORT int unlinkat(int directory, const char *path, int flags)
{
    return unlink_recorded(directory, path, flags);
}

EXPORT int rmdir(const char *path)
{
    return unlink_recorded(AT_FDCWD, path, AT_REMOVEDIR);
}

static int mkdir_recorded(int directory, const char *path, mode_t mode)
{
    char real[PATH_MAX];
    (void)pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_mkdirat, directory, path, mode);
    const char *name = result != 0 || trace < 0 ? NULL : entry_name(directory, path, real);
    if (name != NULL) {
        emit_plain(KIND_MAKE, 0, -1, 0, name);
    }
    (void)pthread_mutex_unlock(&lock);
    return result;
}

EXPORT int mkdir(const char *path, mode_t mode)
{
    return mkdir_recorded(AT_FDCWD, path, mode);
}

EXPORT int mkdirat(int directory, const char *path, mode_t mode)
{
    return mkdir_recorded(directory, path, mode);
}

static int rename_recorded(int from_directory, const char *from, int to_directory, const char *to)
{
    char from_real[PATH_MAX];
    char to_real[PATH_MAX];
    (void)pthread_mutex_lock(&lock);
    const char *from_name = trace < 0 ? NULL : entry_name(from_directory, from, from_real);
    const char *to_name = trace < 0 ? NULL : entry_name(to_directory, to, to_real);
    int result = (int)syscall(SYS_renameat, from_directory, from, to_directory, to);
    if (result == 0 && (from_name != NULL || to_name != NULL)) {
        char both[2 * PATH_MAX];
        CELLAR_ASSERT(from_name != NULL && to_name != NULL);
        int bytes = snprintf(both, sizeof both, "%s%c%s", from_name, '\0', to_name);
        struct record record = {
            .kind = KIND_RENAME, .name_bytes = (uint16_t)bytes, .descriptor = -1};
        emit(record, both, NULL, 0, 0);
    }
    (void)pthread_mutex_unlock(&lock);
    return result;
}

EXPORT int rename(const char *from, const char *to)
{
    return rename_recorded(AT_FDCWD, from, AT_FDCWD, to);
}

EXPORT int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    return rename_recorded(from_directory, from, to_directory, to);
}
