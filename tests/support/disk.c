/*
 * The spoilt disk; disk.h says what it does.
 *
 * The four calls are defined here, so that the linker takes these and not the C library's; they do
 * their work with syscall(2). The recorder keeps, for each file of the directory, the sectors that
 * were written since its last sync with what stood in them before, and for the directory the names
 * that its last sync saw. A power loss puts back the old bytes of a random choice of sectors. A
 * file that is unlinked keeps a second name in a folder beside the directory until the directory is
 * synced.
 *
 * One lock covers everything, the calls themselves too while something is recorded: a copy never
 * sees half a write. What half a write leaves is among the states that a power loss gives.
 */
#include "tests/support/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SECTOR_BYTES 512u
#define FILE_COUNT_MAX 256u
#define NAME_BYTES 64u

/* A sector written since the file's last sync. */
struct sector {
    uint64_t offset;
    uint8_t before[SECTOR_BYTES];
};

struct disk_file {
    ino_t inode;
    struct sector *sectors;
    size_t count;
    size_t capacity;
};

/* A countdown to failure. */
struct fault {
    int64_t good_count; /* negative: none */
    int code;
};

static struct {
    pthread_mutex_t lock;
    bool is_fast;
    bool is_recording;
    struct fault writes;
    struct fault syncs;
    uint64_t write_count;
    uint64_t sync_count;
    char directory[256];
    char gone[256 + 8];
    dev_t device;
    ino_t directory_inode;
    struct disk_file files[FILE_COUNT_MAX];
    size_t file_count;
    char names[FILE_COUNT_MAX][NAME_BYTES]; /* durable */
    size_t name_count;
    char copy[256]; /* of a kill: the directory to which `copies` belong */
    struct disk_file copies[FILE_COUNT_MAX];
    size_t copy_count;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER, .writes = {-1, 0}, .syncs = {-1, 0}};

static void must(bool is_so, const char *what)
{
    if (!is_so) {
        (void)fprintf(stderr, "disk.c: %s: %s\n", what, strerror(errno));
        abort();
    }
}

/* Whether this call fails by the fault. */
static bool fault_strikes(struct fault *fault)
{
    if (fault->good_count < 0) {
        return false;
    }
    if (fault->good_count > 0) {
        fault->good_count--;
        return false;
    }
    errno = fault->code;
    return true;
}

/* ---- the recorder ---------------------------------------------------------------------------- */

static struct disk_file *file_of_inode(ino_t inode, bool may_make)
{
    for (size_t i = 0; i < disk.file_count; i++) {
        if (disk.files[i].inode == inode) {
            return &disk.files[i];
        }
    }
    if (!may_make) {
        return NULL;
    }
    must(disk.file_count < FILE_COUNT_MAX, "too many files");
    struct disk_file *file = &disk.files[disk.file_count++];
    *file = (struct disk_file){.inode = inode};
    return file;
}

static bool file_has_sector(const struct disk_file *file, uint64_t offset)
{
    for (size_t i = 0; i < file->count; i++) {
        if (file->sectors[i].offset == offset) {
            return true;
        }
    }
    return false;
}

static void file_note(struct disk_file *file, int descriptor, uint64_t offset, size_t bytes)
{
    uint64_t at = offset / SECTOR_BYTES * SECTOR_BYTES;
    for (; at < offset + bytes; at += SECTOR_BYTES) {
        if (file_has_sector(file, at)) {
            continue;
        }
        if (file->count == file->capacity) {
            file->capacity = file->capacity == 0 ? 64 : file->capacity * 2;
            file->sectors = realloc(file->sectors, file->capacity * sizeof *file->sectors);
            must(file->sectors != NULL, "no memory");
        }
        struct sector *sector = &file->sectors[file->count++];
        memset(sector, 0, sizeof *sector);
        sector->offset = at;
        must(pread(descriptor, sector->before, SECTOR_BYTES, (off_t)at) >= 0, "cannot read");
    }
}

static bool is_recorded(const struct stat *facts)
{
    return disk.is_recording && facts->st_dev == disk.device;
}

static void names_note(void)
{
    DIR *directory = opendir(disk.directory);
    must(directory != NULL, "cannot open the recorded directory");
    disk.name_count = 0;
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        if (entry->d_name[0] != '.') {
            must(disk.name_count < FILE_COUNT_MAX, "too many names");
            (void)snprintf(disk.names[disk.name_count++], NAME_BYTES, "%.60s", entry->d_name);
        }
    }
    (void)closedir(directory);
}

/* Forgets the unlinked files: their names are durably gone. */
static void gone_empty(void)
{
    DIR *directory = opendir(disk.gone);
    must(directory != NULL, "cannot open the folder of unlinked files");
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        struct stat facts;
        if (entry->d_name[0] == '.') {
            continue;
        }
        must(fstatat(dirfd(directory), entry->d_name, &facts, 0) == 0, "lost an unlinked file");
        struct disk_file *file = file_of_inode(facts.st_ino, false);
        if (file != NULL) {
            file->count = 0; /* another file may get the inode */
        }
        must(unlinkat(dirfd(directory), entry->d_name, 0) == 0, "cannot unlink");
    }
    (void)closedir(directory);
}

static void synced(const struct stat *facts)
{
    if (!is_recorded(facts)) {
        return;
    }
    if (facts->st_ino == disk.directory_inode) {
        names_note();
        gone_empty();
        return;
    }
    struct disk_file *file = file_of_inode(facts->st_ino, false);
    if (file != NULL) {
        file->count = 0;
    }
}

static void copies_free(void)
{
    for (size_t i = 0; i < disk.copy_count; i++) {
        free(disk.copies[i].sectors);
    }
    disk.copy_count = 0;
}

void test_disk_record(const char *directory)
{
    struct stat facts;
    pthread_mutex_lock(&disk.lock);
    must(!disk.is_recording, "recorded already");
    (void)snprintf(disk.directory, sizeof disk.directory, "%s", directory);
    (void)snprintf(disk.gone, sizeof disk.gone, "%s.gone", directory);
    must(stat(directory, &facts) == 0, "no directory");
    must(mkdir(disk.gone, 0700) == 0, "cannot make the folder of unlinked files");
    disk.device = facts.st_dev;
    disk.directory_inode = facts.st_ino;
    disk.file_count = 0;
    if (strcmp(disk.copy, directory) == 0) { /* what was not synced before the kill still is not */
        memcpy(disk.files, disk.copies, sizeof disk.files);
        disk.file_count = disk.copy_count;
    } else {
        copies_free();
        names_note();
    }
    disk.copy_count = 0;
    disk.copy[0] = '\0';
    disk.is_recording = true;
    pthread_mutex_unlock(&disk.lock);
}

void test_disk_record_end(void)
{
    pthread_mutex_lock(&disk.lock);
    must(disk.is_recording, "not recorded");
    gone_empty();
    must(rmdir(disk.gone) == 0, "cannot remove the folder of unlinked files");
    for (size_t i = 0; i < disk.file_count; i++) {
        free(disk.files[i].sectors);
    }
    disk.is_recording = false;
    pthread_mutex_unlock(&disk.lock);
}

/* ---- copies ---------------------------------------------------------------------------------- */

/* Notes that the copy of a file lacks the same syncs. */
static void copy_note(const struct disk_file *file, int target)
{
    struct stat facts;
    must(fstat(target, &facts) == 0, "cannot look at a copy");
    struct disk_file *copy = &disk.copies[disk.copy_count++];
    *copy = (struct disk_file){facts.st_ino, NULL, file->count, file->count};
    copy->sectors = malloc(file->count * sizeof *copy->sectors + 1);
    must(copy->sectors != NULL, "no memory");
    memcpy(copy->sectors, file->sectors, file->count * sizeof *copy->sectors);
}

static void file_copy(const char *from, const char *to, enum test_disk_end end,
                      struct test_random *random)
{
    uint8_t block[65536];
    struct stat facts;
    int source = open(from, O_RDONLY | O_CLOEXEC);
    int target = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    must(source >= 0 && target >= 0 && fstat(source, &facts) == 0, "cannot open to copy");
    ssize_t got = 0;
    for (off_t at = 0; (got = pread(source, block, sizeof block, at)) > 0; at += got) {
        must(syscall(SYS_pwrite64, target, block, (size_t)got, at) == got, "cannot copy");
    }
    const struct disk_file *file = file_of_inode(facts.st_ino, false);
    uint64_t share = test_random_below(random, 5); /* of 4 quarters, how many go */
    for (size_t i = 0; end == TEST_DISK_POWER_LOSS && file != NULL && i < file->count; i++) {
        const struct sector *sector = &file->sectors[i];
        if (test_random_below(random, 4) < share) {
            must(syscall(SYS_pwrite64, target, sector->before, (size_t)SECTOR_BYTES,
                         (off_t)sector->offset) == (long)SECTOR_BYTES,
                 "cannot spoil");
        }
    }
    if (end == TEST_DISK_KILL && file != NULL && file->count > 0) {
        copy_note(file, target);
    }
    (void)close(source);
    (void)close(target);
}

static bool name_is_durable(const char *name)
{
    for (size_t i = 0; i < disk.name_count; i++) {
        if (strcmp(disk.names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Copies what is in one folder. @param chance  of a name: false when it is sure to be there */
static void folder_copy(const char *folder, const char *to, enum test_disk_end end,
                        struct test_random *random)
{
    bool is_gone = folder == disk.gone;
    DIR *directory = opendir(folder);
    must(directory != NULL, "cannot open to copy");
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        char from[PATH_MAX];
        char target[PATH_MAX];
        if (entry->d_name[0] == '.') {
            continue;
        }
        bool is_sure = !is_gone && name_is_durable(entry->d_name);
        if (end == TEST_DISK_POWER_LOSS && !is_sure && test_random_below(random, 2) == 0) {
            continue;
        }
        (void)snprintf(from, sizeof from, "%s/%s", folder, entry->d_name);
        (void)snprintf(target, sizeof target, "%s/%s", to, entry->d_name);
        if (access(target, F_OK) != 0) {
            file_copy(from, target, end, random);
        }
    }
    (void)closedir(directory);
}

void test_disk_copy(const char *to, enum test_disk_end end, struct test_random *random)
{
    pthread_mutex_lock(&disk.lock);
    must(disk.is_recording, "not recorded");
    copies_free();
    (void)snprintf(disk.copy, sizeof disk.copy, "%s", end == TEST_DISK_KILL ? to : "");
    folder_copy(disk.directory, to, end, random);
    if (end == TEST_DISK_POWER_LOSS) {
        folder_copy(disk.gone, to, end, random);
    }
    pthread_mutex_unlock(&disk.lock);
}

/* ---- the calls ------------------------------------------------------------------------------- */

ssize_t pwrite(int descriptor, const void *data, size_t bytes, off_t offset)
{
    struct stat facts;
    pthread_mutex_lock(&disk.lock);
    disk.write_count++;
    ssize_t result = -1;
    if (!fault_strikes(&disk.writes)) {
        if (disk.is_recording && fstat(descriptor, &facts) == 0 && is_recorded(&facts)) {
            file_note(file_of_inode(facts.st_ino, true), descriptor, (uint64_t)offset, bytes);
        }
        result = (ssize_t)syscall(SYS_pwrite64, descriptor, data, bytes, offset);
    }
    int code = errno;
    pthread_mutex_unlock(&disk.lock);
    errno = code;
    return result;
}

static int sync_any(int descriptor, long number)
{
    struct stat facts;
    pthread_mutex_lock(&disk.lock);
    disk.sync_count++;
    bool is_fast = disk.is_fast || disk.is_recording;
    bool is_good = !fault_strikes(&disk.syncs);
    if (is_good && disk.is_recording && fstat(descriptor, &facts) == 0) {
        synced(&facts);
    }
    int code = errno;
    pthread_mutex_unlock(&disk.lock);
    errno = code;
    if (!is_good) {
        return -1;
    }
    return is_fast ? 0 : (int)syscall(number, descriptor);
}

int fdatasync(int descriptor)
{
    return sync_any(descriptor, SYS_fdatasync);
}

int fsync(int descriptor)
{
    return sync_any(descriptor, SYS_fsync);
}

int unlink(const char *path)
{
    pthread_mutex_lock(&disk.lock);
    size_t bytes = strlen(disk.directory);
    if (disk.is_recording && strncmp(path, disk.directory, bytes) == 0 && path[bytes] == '/') {
        char kept[PATH_MAX];
        (void)snprintf(kept, sizeof kept, "%s/%s", disk.gone, path + bytes + 1);
        if (link(path, kept) != 0) {
            kept[0] = '\0'; /* a file that was kept before, or never made */
        }
    }
    int result = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    int code = errno;
    pthread_mutex_unlock(&disk.lock);
    errno = code;
    return result;
}

void test_disk_fast(bool is_fast)
{
    pthread_mutex_lock(&disk.lock);
    disk.is_fast = is_fast;
    pthread_mutex_unlock(&disk.lock);
}

static void fault_set(struct fault *fault, int64_t good_count, int code)
{
    pthread_mutex_lock(&disk.lock);
    *fault = (struct fault){good_count, code};
    pthread_mutex_unlock(&disk.lock);
}

void test_disk_fail_writes(int64_t good_count, int code)
{
    fault_set(&disk.writes, good_count, code);
}

void test_disk_fail_syncs(int64_t good_count, int code)
{
    fault_set(&disk.syncs, good_count, code);
}

void test_disk_counts(uint64_t *write_count, uint64_t *sync_count)
{
    pthread_mutex_lock(&disk.lock);
    *write_count = disk.write_count;
    *sync_count = disk.sync_count;
    pthread_mutex_unlock(&disk.lock);
}
