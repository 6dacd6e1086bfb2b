/*
 * The commit log, read and not repaired.
 *
 * store_log_open_read() decides what belongs to the log and where it ends, exactly as a start does;
 * store_log_replay() walks it. What is added here: which file and offset a gap lies at, files that
 * recovery passes over in silence (a header that cannot be read, names that are none of a
 * segment's), and what stands behind the log's end. A torn end is normal after a kill: what is void
 * was never acknowledged.
 */
#include "server/storage/check_log.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "server/storage/commit_log.h"

#define NAME_BYTES 12u /* 00000001.log */

static void file_text(uint64_t file_index, char *text)
{
    int bytes = snprintf(text, STORE_CHECK_FILE_BYTES_MAX, "log/%08" PRIu64 ".log", file_index);
    CELLAR_ASSERT(bytes > 0 && (size_t)bytes < STORE_CHECK_FILE_BYTES_MAX);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* A file outside the chain: fresh, of an earlier use, or with a header that cannot be read. A blank
 * file is one that was filled with zeroes and not used yet. A header that cannot be read is damage
 * only if a gap shows that it held something. */
static void free_file_check(struct store_check_log *log, const struct store_log_segment *segment)
{
    uint8_t head[STORE_LOG_HEADER_BYTES];
    struct store_log_header header;
    char file[STORE_CHECK_FILE_BYTES_MAX];
    bool is_blank = true;
    size_t got = 0;
    file_text(segment->file.index, file);
    struct store_check_place place = {.file = file, .has_offset = true};
    if (store_file_read(segment->file.descriptor, 0, head, sizeof head, &got) != CELLAR_OK) {
        store_check_find(log->report, STORE_CHECK_DAMAGE, &place, "the file cannot be read");
        return;
    }
    for (size_t i = 0; i < got; i++) {
        is_blank = is_blank && head[i] == 0;
    }
    CELLAR_ASSERT(got <= sizeof head);
    if (!is_blank && (got < sizeof head || store_log_header_decode(head, &header) != CELLAR_OK)) {
        store_check_find(log->report, STORE_CHECK_NOTE, &place,
                         "the segment's header cannot be read: torn or damaged; the file counts as "
                         "free, and what it held is missing if a gap is told");
    }
}

/* Names in log/ that are no segment's. Notes: nobody reads such a file, but an operator may have
 * put one there by mistake. */
static void names_check(struct store_check_log *log)
{
    DIR *directory = opendir(log->dir->log_path);
    const struct dirent *entry;
    CELLAR_ASSERT(log->report != NULL);
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        bool is_segment = strspn(entry->d_name, "0123456789") == 8 &&
                          strcmp(entry->d_name + 8, ".log") == 0 &&
                          strlen(entry->d_name) == NAME_BYTES;
        if (!is_segment && strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            char file[STORE_CHECK_FILE_BYTES_MAX + sizeof entry->d_name];
            (void)snprintf(file, sizeof file, "log/%s", entry->d_name);
            struct store_check_place place = {.file = file};
            store_check_find(log->report, STORE_CHECK_NOTE, &place,
                             "no file of the log; nobody reads it");
        }
    }
    if (directory != NULL) {
        (void)closedir(directory);
    }
}

/* What stands where the next group of the last segment would begin. A group that would be the next
 * one, by its head at least: it was on its way when the server ended. */
static void end_check(struct store_check_log *log)
{
    const struct store_log *opened = log->log;
    const struct store_log_segment *last = &opened->chain.items[opened->chain.count - 1];
    uint64_t offset = opened->tail_end == 0
                          ? last->header.alignment
                          : store_log_align(opened->tail_end, last->header.alignment);
    uint8_t head[STORE_LOG_GROUP_HEADER_BYTES];
    char file[STORE_CHECK_FILE_BYTES_MAX];
    uint64_t first_lsn = 0;
    size_t got = 0;
    CELLAR_ASSERT(opened->chain.count > 0);
    bool is_group =
        store_file_read(last->file.descriptor, offset, head, sizeof head, &got) == CELLAR_OK &&
        got == sizeof head && store_log_group_peek(head, &first_lsn) &&
        first_lsn == opened->recovered_lsn + 1;
    if (is_group) {
        file_text(last->file.index, file);
        struct store_check_place place = {.file = file,
                                          .offset = offset,
                                          .has_offset = true,
                                          .first_lsn = first_lsn,
                                          .last_lsn = first_lsn};
        store_check_find(log->report, STORE_CHECK_NOTE, &place,
                         "torn end: a group was being written when the server ended; it was never "
                         "acknowledged, a start leaves it out");
    }
}

/* Damage to the log does not end the check: the environments say much without it. */
enum cellar_status store_check_log_open(struct store_check_log *log,
                                        struct store_check_report *report,
                                        const struct store_data_dir *dir)
{
    struct cellar_error error;
    struct store_check_place place = {.file = "log"};
    memset(log, 0, sizeof *log);
    log->report = report;
    log->dir = dir;
    cellar_error_clear(&error);
    store_check_scope_begin(report);
    enum cellar_status status = store_log_open_read(dir->log_path, &log->log, &error);
    if (status == CELLAR_NO_MEMORY) {
        return status;
    }
    if (status != CELLAR_OK) {
        store_check_find(report, STORE_CHECK_DAMAGE, &place, "%s",
                         error.text[0] != '\0' ? error.text : cellar_status_text(status));
        return CELLAR_OK;
    }
    names_check(log);
    for (size_t i = 0; i < log->log->free.count; i++) {
        free_file_check(log, &log->log->free.items[i]);
    }
    if (log->log->chain.count == 0) {
        store_check_find(report, STORE_CHECK_DAMAGE, &place, "no segment of the log is there");
        store_check_log_close(log);
        return CELLAR_OK;
    }
    end_check(log);
    report->counts.segment_count = log->log->chain.count;
    store_check_scope_end(report);
    CELLAR_ASSERT(log->log != NULL);
    return CELLAR_OK;
}

/* The place of the group, which is where one must look: a record's bytes are checked with it. */
void store_check_log_place(const struct store_check_log *log, uint64_t lsn, char *file,
                           struct store_check_place *place)
{
    CELLAR_ASSERT(log->file_index > 0);
    file_text(log->file_index, file);
    *place = (struct store_check_place){.file = file,
                                        .offset = log->group_offset,
                                        .has_offset = true,
                                        .first_lsn = lsn,
                                        .last_lsn = lsn};
}

void store_check_log_close(struct store_check_log *log)
{
    store_log_close(log->log);
    log->log = NULL;
    CELLAR_ASSERT(log->log == NULL);
}

/* Without a log nothing can be said to lie behind its end. */
uint64_t store_check_log_end(const struct store_check_log *log)
{
    CELLAR_ASSERT(log != NULL);
    return log->log == NULL ? UINT64_MAX : store_log_recovered_lsn(log->log);
}

uint64_t store_check_log_low_water(const struct store_check_log *log)
{
    CELLAR_ASSERT(log != NULL);
    return log->log == NULL ? 0 : store_log_low_water(log->log);
}

/* ---- groups and records ---------------------------------------------------------------------- */

/* The file's offset behind the group is where a gap that follows begins. */
static void group_note(void *context, uint64_t file_index, const struct store_log_group *group)
{
    struct store_check_log *log = context;
    const struct store_log *opened = log->log;
    log->file_index = file_index;
    log->group_offset = group->offset;
    log->file_offset = store_log_align(group->offset + group->bytes.bytes, opened->alignment);
    CELLAR_ASSERT(group->record_count > 0);
    store_check_progress(log->report, "log", log->file_offset,
                         opened->chain.items[opened->chain.count - 1].header.segment_bytes);
}

static void group_count(void *context, uint64_t file_index, const struct store_log_group *group)
{
    struct store_check_log *log = context;
    CELLAR_ASSERT(log->report != NULL);
    log->report->counts.group_count++;
    group_note(context, file_index, group);
}

/* The file that holds, or held, an LSN: the last one that begins at or below it. */
static uint64_t file_of_lsn(const struct store_check_log *log, uint64_t lsn)
{
    const struct store_log_segments *chain = &log->log->chain;
    uint64_t file_index = 0;
    CELLAR_ASSERT(chain->count > 0);
    for (size_t i = 0; i < chain->count; i++) {
        if (chain->items[i].header.first_lsn <= lsn) {
            file_index = chain->items[i].file.index;
        }
    }
    return file_index;
}

/* Gaps are judged later, when the stores have been read. Beyond the limit the last one grows: a log
 * that is damaged so often needs no better description. */
static enum cellar_status gap_note(void *context, uint64_t first_lsn, uint64_t last_lsn)
{
    struct store_check_log *log = context;
    CELLAR_ASSERT(first_lsn <= last_lsn);
    if (log->gap_count == STORE_CHECK_GAP_COUNT_MAX) {
        log->gaps[log->gap_count - 1].last_lsn = last_lsn;
        return CELLAR_OK;
    }
    uint64_t file_index = file_of_lsn(log, first_lsn);
    log->gaps[log->gap_count++] = (struct store_check_gap){
        .first_lsn = first_lsn,
        .last_lsn = last_lsn,
        .file_index = file_index,
        .offset = file_index == log->file_index ? log->file_offset : log->log->alignment,
    };
    return CELLAR_OK;
}

static enum cellar_status gap_pass(void *context, uint64_t first_lsn, uint64_t last_lsn)
{
    CELLAR_ASSERT(context != NULL && first_lsn <= last_lsn);
    return CELLAR_OK;
}

static enum cellar_status record_pass(void *context, const struct store_log_entry *entry)
{
    const struct store_check_log *log = context;
    CELLAR_ASSERT(entry->lsn > 0);
    return log->record(log->context, entry);
}

static enum cellar_status record_count(void *context, const struct store_log_entry *entry)
{
    struct store_check_log *log = context;
    CELLAR_ASSERT(log->report != NULL);
    log->report->counts.record_count++;
    return record_pass(context, entry);
}

/* Read twice: for the catalog's records first, and for the others when their tables are known.
 * Figures are counted and gaps noted the first time only. */
enum cellar_status store_check_log_read(
    struct store_check_log *log, bool is_first,
    enum cellar_status (*record)(void *context, const struct store_log_entry *entry), void *context)
{
    struct cellar_error error;
    const struct store_log_visitor visitor = {
        .context = log,
        .record = is_first ? record_count : record_pass,
        .gap = is_first ? gap_note : gap_pass,
        .group = is_first ? group_count : group_note,
    };
    if (log->log == NULL) {
        return CELLAR_OK;
    }
    log->record = record;
    log->context = context;
    log->file_index = 0;
    cellar_error_clear(&error);
    enum cellar_status status = store_log_replay(log->log, &visitor, &error);
    CELLAR_ASSERT(record != NULL);
    if (status == CELLAR_IO_ERROR || status == CELLAR_DATA_LOSS) {
        struct store_check_place place = {.file = "log"};
        store_check_find(log->report, STORE_CHECK_DAMAGE, &place, "%s",
                         error.text[0] != '\0' ? error.text : cellar_status_text(status));
        return CELLAR_OK;
    }
    return status;
}

/* Asked before the records are held against tables: behind a gap they may seem to fit nothing. */
bool store_check_log_has_gap(const struct store_check_log *log, uint64_t needed_lsn)
{
    uint64_t above_lsn = CELLAR_MAX(needed_lsn, store_check_log_low_water(log));
    bool has_gap = false;
    CELLAR_ASSERT(log->gap_count <= STORE_CHECK_GAP_COUNT_MAX);
    for (size_t i = 0; i < log->gap_count; i++) {
        has_gap = has_gap || log->gaps[i].last_lsn > above_lsn;
    }
    return has_gap;
}

void store_check_log_gaps(struct store_check_log *log, uint64_t needed_lsn)
{
    store_check_scope_begin(log->report);
    for (size_t i = 0; i < log->gap_count; i++) {
        const struct store_check_gap *gap = &log->gaps[i];
        bool is_needed = gap->last_lsn > needed_lsn;
        char file[STORE_CHECK_FILE_BYTES_MAX] = "log";
        struct store_check_place place = {
            .file = file, .first_lsn = gap->first_lsn, .last_lsn = gap->last_lsn};
        if (gap->file_index != 0) {
            file_text(gap->file_index, file);
            place.offset = gap->offset;
            place.has_offset = true;
        }
        CELLAR_ASSERT(gap->first_lsn <= gap->last_lsn);
        store_check_find(log->report, is_needed ? STORE_CHECK_DAMAGE : STORE_CHECK_NOTE, &place,
                         is_needed ? "records cannot be read, and some store needs them (all have "
                                     "applied up to %" PRIu64 " only)"
                                   : "records cannot be read, but all stores have applied up to "
                                     "%" PRIu64 ": nobody needs them",
                         needed_lsn);
    }
    store_check_scope_end(log->report);
}
