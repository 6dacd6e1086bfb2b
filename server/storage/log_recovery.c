/*
 * Reading the log: which segments belong to it, where it ends, what it holds. FORMAT.md, "Recovery
 * of the log".
 *
 *     1. Read every file's header. The segment with the greatest number is the last one; the chain
 * goes back from it by number and incarnation. What is not in the chain is free.
 *     2. Walk the chain group by group. A segment ends at the next one's first LSN - 1; only the
 * last one can have a torn end.
 *     3. A group that is bad or missing at or below a segment's end is a gap, and so is one that a
 * later group of the last segment says was durable. The visitor decides whether anyone needs it; if
 * so it is corruption.
 *     4. Otherwise a bad group in the last segment ends the log: it and what follows was never
 * acknowledged and is void.
 *
 * Nothing is written here. One segment is in memory at a time. Any bytes in the files are taken: at
 * worst the answer is an error.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "server/storage/commit_log.h"

#define NAME_DIGITS 8u

/* One pass over the chain. */
struct walk {
    struct store_log *log;
    const struct store_log_visitor *visitor; /* NULL: only look for the end */
    struct cellar_error *error;
    uint64_t file_index;   /* of the segment that is walked */
    uint64_t expected_lsn; /* the next record's */
    uint64_t tail_offset;
    uint64_t tail_end;
};

enum cellar_status store_log_segments_push(struct store_log_segments *segments,
                                           const struct store_log_segment *segment)
{
    if (segments->count == segments->capacity) {
        size_t capacity = segments->capacity == 0 ? 8 : segments->capacity * 2;
        void *grown = cellar_mem_realloc(segments->items, capacity * sizeof *segments->items);
        if (grown == NULL) {
            return CELLAR_NO_MEMORY;
        }
        segments->items = grown;
        segments->capacity = capacity;
    }
    CELLAR_ASSERT(segments->count < STORE_LOG_SEGMENT_COUNT_MAX);
    segments->items[segments->count++] = *segment;
    return CELLAR_OK;
}

struct store_log_segment store_log_segments_shift(struct store_log_segments *segments)
{
    CELLAR_ASSERT(segments->count > 0);
    struct store_log_segment oldest = segments->items[0];
    segments->count--;
    memmove(segments->items, segments->items + 1, segments->count * sizeof oldest);
    return oldest;
}

/* ---- step 1: the files ----------------------------------------------------------------------- */

/* A header of another version ends the start, since its file may hold records that we cannot see;
 * one that cannot be read at all makes the file free, and free_check() looks whether that hides
 * something. */
static enum cellar_status segment_load(struct store_log *log, uint64_t index,
                                       struct cellar_error *error)
{
    struct store_log_segment segment = {0};
    uint8_t head[STORE_LOG_HEADER_BYTES];
    size_t got = 0;
    struct stat facts;
    CELLAR_TRY(log->is_read_only
                   ? store_log_file_open_read(log->directory, index, &segment.file, error)
                   : store_log_file_open(log->directory, index, &segment.file, error));
    enum cellar_status status =
        store_file_read(segment.file.descriptor, 0, head, sizeof head, &got);
    if (status == CELLAR_OK && fstat(segment.file.descriptor, &facts) != 0) {
        status = CELLAR_IO_ERROR;
    }
    if (status != CELLAR_OK) {
        (void)close(segment.file.descriptor);
        return cellar_error_set(error, status, "cannot read log segment %llu in %s",
                                (unsigned long long)index, log->directory);
    }
    segment.file_bytes = (uint64_t)facts.st_size;
    status = got == sizeof head ? store_log_header_decode(head, &segment.header) : CELLAR_NOT_FOUND;
    if (status == CELLAR_FAILED_PRECONDITION) {
        (void)close(segment.file.descriptor);
        return cellar_error_set(error, status,
                                "log segment %llu in %s is of another format version; start the "
                                "cellard that wrote it",
                                (unsigned long long)index, log->directory);
    }
    if (status != CELLAR_OK) {
        memset(&segment.header, 0, sizeof segment.header);
    }
    status = store_log_segments_push(status == CELLAR_OK ? &log->chain : &log->free, &segment);
    if (status != CELLAR_OK) {
        (void)close(segment.file.descriptor);
    }
    return status;
}

/* The index in "%08u.log", or 0 for another name. Eight digits exactly: other names are none of
 * ours and stay untouched. */
static uint64_t index_of_name(const char *name)
{
    uint64_t index = 0;
    size_t digits = strspn(name, "0123456789");
    for (size_t i = 0; i < digits && i < NAME_DIGITS; i++) {
        index = index * 10 + (uint64_t)(name[i] - '0');
    }
    CELLAR_ASSERT(index < UINT32_MAX);
    return digits == NAME_DIGITS && strcmp(name + NAME_DIGITS, ".log") == 0 ? index : 0;
}

static enum cellar_status files_load(struct store_log *log, struct cellar_error *error)
{
    DIR *directory = opendir(log->directory);
    if (directory == NULL) {
        return cellar_error_set(error, CELLAR_IO_ERROR, "cannot open the directory %s: %s",
                                log->directory, strerror(errno));
    }
    enum cellar_status status = CELLAR_OK;
    const struct dirent *entry;
    while (status == CELLAR_OK && (entry = readdir(directory)) != NULL) {
        uint64_t index = index_of_name(entry->d_name);
        if (index == 0) {
            continue;
        }
        log->file_index_next = CELLAR_MAX(log->file_index_next, index + 1);
        status = segment_load(log, index, error);
    }
    CELLAR_ASSERT(log->file_index_next > 0);
    (void)closedir(directory);
    return status;
}

static int segment_order(const void *a, const void *b)
{
    CELLAR_ASSERT(a != NULL && b != NULL);
    uint64_t left = ((const struct store_log_segment *)a)->header.number;
    uint64_t right = ((const struct store_log_segment *)b)->header.number;
    return left < right ? -1 : (left > right ? 1 : 0);
}

/* Keeps in the chain what is linked to the last segment; the rest becomes free. The link is number
 * and incarnation of the segment before: a file of an earlier life with the right number does not
 * fit. */
static enum cellar_status chain_link(struct store_log *log, struct cellar_error *error)
{
    struct store_log_segments *chain = &log->chain;
    if (chain->count == 0) {
        return CELLAR_OK;
    }
    qsort(chain->items, chain->count, sizeof chain->items[0], segment_order);
    size_t first = chain->count - 1;
    const struct store_log_header *last = &chain->items[first].header;
    memcpy(log->id, last->log_id, sizeof log->id);
    log->alignment = last->alignment;
    for (size_t i = 0; i < chain->count; i++) {
        if (memcmp(chain->items[i].header.log_id, log->id, sizeof log->id) != 0) {
            return cellar_error_set(error, CELLAR_DATA_LOSS,
                                    "%s holds segments of two logs; remove those that were copied "
                                    "into it",
                                    log->directory);
        }
    }
    while (first > 0) {
        const struct store_log_header *here = &chain->items[first].header;
        const struct store_log_header *before = &chain->items[first - 1].header;
        if (before->number + 1 != here->number ||
            before->incarnation != here->previous_incarnation) {
            break;
        }
        first--;
    }
    for (size_t i = 0; i < first; i++) {
        struct store_log_segment old = store_log_segments_shift(chain);
        if (store_log_segments_push(&log->free, &old) != CELLAR_OK) {
            (void)close(old.file.descriptor);
            return CELLAR_NO_MEMORY;
        }
    }
    CELLAR_ASSERT(chain->count > 0);
    return CELLAR_OK;
}

/* ---- steps 2 to 4: the groups ---------------------------------------------------------------- */

/* While only the end is looked for nobody cares for gaps; the replay walks again and tells them. */
static enum cellar_status visit_gap(struct walk *walk, uint64_t last_lsn)
{
    uint64_t first_lsn = walk->expected_lsn;
    CELLAR_ASSERT(last_lsn >= first_lsn);
    walk->expected_lsn = last_lsn + 1;
    return walk->visitor == NULL ? CELLAR_OK
                                 : walk->visitor->gap(walk->visitor->context, first_lsn, last_lsn);
}

/* Each group names the LSN that was durable when it was written, which proves all groups up to
 * there: what lies behind the last such proof is the tail that a start writes again. */
static enum cellar_status visit_group(struct walk *walk, const struct store_log_group *group)
{
    struct cellar_slice records = group->records;
    struct store_log_entry entry;
    CELLAR_ASSERT(group->first_lsn == walk->expected_lsn);
    if (group->durable_lsn + 1 >= group->first_lsn) {
        walk->tail_offset = group->offset; /* all before it is proven durable */
    }
    walk->tail_end = group->offset + group->bytes.bytes;
    walk->expected_lsn = group->first_lsn + group->record_count;
    if (walk->visitor != NULL && walk->visitor->group != NULL) {
        walk->visitor->group(walk->visitor->context, walk->file_index, group);
    }
    while (walk->visitor != NULL && store_log_entry_next(&records, &entry)) {
        CELLAR_TRY(walk->visitor->record(walk->visitor->context, &entry));
    }
    return CELLAR_OK;
}

/* The next sound group at or behind `offset` that begins above the expected LSN. */
static bool group_search(struct cellar_slice bytes, const struct store_log_header *header,
                         uint64_t offset, uint64_t expected_lsn, struct store_log_group *group)
{
    CELLAR_ASSERT(header->alignment >= STORE_LOG_ALIGNMENT_MIN);
    for (; offset < bytes.bytes; offset += header->alignment) {
        if (store_log_group_decode(bytes, offset, header->incarnation, group) &&
            group->first_lsn > expected_lsn) {
            return true;
        }
    }
    return false;
}

/* Whether all of a group's records belong to the segment. */
static bool group_is_within(const struct store_log_group *group, uint64_t end_lsn)
{
    CELLAR_ASSERT(group->record_count > 0);
    return group->first_lsn <= end_lsn && group->record_count - 1 <= end_lsn - group->first_lsn;
}

static enum cellar_status overlap_error(const struct walk *walk)
{
    CELLAR_ASSERT(walk->log != NULL);
    return cellar_error_set(
        walk->error, CELLAR_DATA_LOSS,
        "the log segments in %s overlap; restore the data directory from a copy",
        walk->log->directory);
}

/* Walks one segment's groups.
 *
 * @param end_lsn the last LSN that belongs to it; UINT64_MAX for the last segment, whose end may be
 * torn A hole in the last segment is a gap only if a later group says that what is missing was
 * durable; else it is where the log ended when the power went. */
static enum cellar_status walk_groups(struct walk *walk, const struct store_log_header *header,
                                      struct cellar_slice bytes, uint64_t end_lsn)
{
    bool is_last = end_lsn == UINT64_MAX;
    uint64_t offset = header->alignment;
    while (walk->expected_lsn <= end_lsn) {
        struct store_log_group group;
        bool is_found = store_log_group_decode(bytes, offset, header->incarnation, &group) &&
                        group.first_lsn == walk->expected_lsn;
        if (is_found && !group_is_within(&group, end_lsn)) {
            return overlap_error(walk);
        }
        if (!is_found) {
            is_found = group_search(bytes, header, offset, walk->expected_lsn, &group) &&
                       (is_last ? group.durable_lsn >= walk->expected_lsn
                                : group_is_within(&group, end_lsn));
            if (!is_found) {
                break;
            }
            CELLAR_TRY(visit_gap(walk, group.first_lsn - 1));
        }
        CELLAR_TRY(visit_group(walk, &group));
        offset = store_log_align(group.offset + group.bytes.bytes, header->alignment);
    }
    if (!is_last && walk->expected_lsn <= end_lsn) {
        return visit_gap(walk, end_lsn);
    }
    CELLAR_ASSERT(is_last || walk->expected_lsn == end_lsn + 1);
    return CELLAR_OK;
}

/* The whole segment in memory: groups are searched in it, and 16 MiB are free at a start. */
static enum cellar_status walk_segment(struct walk *walk, const struct store_log_segment *segment,
                                       uint64_t end_lsn)
{
    size_t bytes = (size_t)CELLAR_MIN(segment->file_bytes, segment->header.segment_bytes);
    uint8_t *memory = cellar_mem_alloc(bytes);
    size_t got = 0;
    if (memory == NULL) {
        return CELLAR_NO_MEMORY;
    }
    walk->file_index = segment->file.index;
    enum cellar_status status = store_file_read(segment->file.descriptor, 0, memory, bytes, &got);
    if (status == CELLAR_OK) {
        CELLAR_ASSERT(got <= bytes);
        status = walk_groups(walk, &segment->header, cellar_slice_make(memory, got), end_lsn);
    } else {
        status = cellar_error_set(walk->error, status, "cannot read log segment %llu in %s",
                                  (unsigned long long)segment->file.index, walk->log->directory);
    }
    cellar_mem_free(memory);
    return status;
}

/* Records at or below the low-water LSN are visited where they still are, but their absence is no
 * gap. */
static enum cellar_status walk_chain(struct walk *walk)
{
    const struct store_log_segments *chain = &walk->log->chain;
    uint64_t low_water_lsn = chain->items[chain->count - 1].header.low_water_lsn;
    uint64_t first_lsn = chain->items[0].header.first_lsn;
    CELLAR_ASSERT(chain->count > 0);
    walk->expected_lsn = low_water_lsn + 1;
    if (first_lsn > walk->expected_lsn) {
        CELLAR_TRY(visit_gap(walk, first_lsn - 1)); /* the chain does not reach back far enough */
    }
    walk->expected_lsn = first_lsn;
    for (size_t i = 0; i < chain->count; i++) {
        bool is_last = i + 1 == chain->count;
        uint64_t end_lsn = is_last ? UINT64_MAX : chain->items[i + 1].header.first_lsn - 1;
        if (!is_last && end_lsn + 1 < walk->expected_lsn) {
            return overlap_error(walk);
        }
        walk->tail_offset = 0;
        walk->tail_end = 0;
        CELLAR_TRY(walk_segment(walk, &chain->items[i], end_lsn));
    }
    return CELLAR_OK;
}

/*
 * A header is one block of the device, so it is whole, or what was there before, or damaged. When
 * it is damaged (or blank) and groups above the log's end follow, then these were the newest ones.
 */
static enum cellar_status free_check(const struct store_log *log,
                                     const struct store_log_segment *segment,
                                     struct cellar_error *error)
{
    uint8_t bytes[STORE_LOG_GROUP_HEADER_BYTES];
    CELLAR_ASSERT(segment->header.incarnation == 0);
    /* The header would say where the first group begins; it is at one of the alignments. */
    for (uint64_t at = STORE_LOG_ALIGNMENT_MIN; at <= STORE_LOG_ALIGNMENT_MAX; at *= 2) {
        uint64_t first_lsn = 0;
        size_t got = 0;
        CELLAR_TRY(store_file_read(segment->file.descriptor, at, bytes, sizeof bytes, &got));
        if (got == sizeof bytes && store_log_group_peek(bytes, &first_lsn) &&
            first_lsn > log->recovered_lsn) {
            return cellar_error_set(error, CELLAR_DATA_LOSS,
                                    "the header of log segment file %llu in %s is damaged, and "
                                    "records from %llu on stand in it; restore the data directory "
                                    "from a copy",
                                    (unsigned long long)segment->file.index, log->directory,
                                    (unsigned long long)first_lsn);
        }
    }
    return CELLAR_OK;
}

/* Looks into every file that has no sound header, before any of them is used again. */
static enum cellar_status free_files_check(struct store_log *log, struct cellar_error *error)
{
    CELLAR_ASSERT(!log->is_started);
    for (size_t i = 0; i < log->free.count; i++) {
        struct store_log_header *header = &log->free.items[i].header;
        if (header->incarnation == 0) {
            CELLAR_TRY(free_check(log, &log->free.items[i], error));
        }
        memset(header, 0, sizeof *header);
    }
    return CELLAR_OK;
}

enum cellar_status store_log_recover(struct store_log *log, struct cellar_error *error)
{
    CELLAR_TRY(files_load(log, error));
    CELLAR_TRY(chain_link(log, error));
    if (log->chain.count == 0) {
        return free_files_check(log, error);
    }
    const struct store_log_segment *last = &log->chain.items[log->chain.count - 1];
    if (last->file_bytes < last->header.segment_bytes) {
        return cellar_error_set(
            error, CELLAR_DATA_LOSS,
            "the last log segment in %s (file %llu) was cut off at %llu of %llu "
            "bytes; restore the data directory from a copy",
            log->directory, (unsigned long long)last->file.index,
            (unsigned long long)last->file_bytes, (unsigned long long)last->header.segment_bytes);
    }
    struct walk walk = {.log = log, .error = error};
    CELLAR_TRY(walk_chain(&walk));
    CELLAR_ASSERT(walk.expected_lsn > 0);
    log->recovered_lsn = walk.expected_lsn - 1;
    log->tail_offset = walk.tail_offset;
    log->tail_end = walk.tail_end;
    atomic_store(&log->low_water_lsn, log->chain.items[log->chain.count - 1].header.low_water_lsn);
    return free_files_check(log, error);
}

enum cellar_status store_log_replay(struct store_log *log, const struct store_log_visitor *visitor,
                                    struct cellar_error *error)
{
    CELLAR_ASSERT(!log->is_started);
    if (log->chain.count == 0) {
        return CELLAR_OK;
    }
    struct walk walk = {.log = log, .visitor = visitor, .error = error};
    enum cellar_status status = walk_chain(&walk);
    CELLAR_ASSERT(status != CELLAR_OK || walk.expected_lsn == log->recovered_lsn + 1);
    return status;
}
