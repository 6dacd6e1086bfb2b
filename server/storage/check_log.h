#ifndef CELLAR_STORAGE_CHECK_LOG_H
#define CELLAR_STORAGE_CHECK_LOG_H

#include "server/storage/check_report.h"
#include "server/storage/data_dir.h"
#include "server/storage/log.h"

/*
 * The check of the commit log offline: the same chain, groups and gaps that recovery finds
 * (log_recovery.c), said with file and offset. FORMAT.md, "The commit log".
 */

#define STORE_CHECK_GAP_COUNT_MAX 256u

/** Records that cannot be read. */
struct store_check_gap {
    uint64_t first_lsn;
    uint64_t last_lsn;
    uint64_t file_index; /* where the reading broke off; 0: the chain begins behind it */
    uint64_t offset;
};

struct store_check_log {
    struct store_check_report *report;
    const struct store_data_dir *dir;
    struct store_log *log; /* NULL: it cannot be read at all, which was said */
    struct store_check_gap gaps[STORE_CHECK_GAP_COUNT_MAX];
    size_t gap_count;      /* the last one takes in all that there is no room for */
    uint64_t file_index;   /* of the group read last */
    uint64_t group_offset; /* where it begins */
    uint64_t file_offset;  /* behind it */
    void *context;
    enum cellar_status (*record)(void *context, const struct store_log_entry *entry);
};

/** Opens the log and says what is wrong or notable with its files, in a scope of its own.
 * @return CELLAR_OK also when it cannot be read (log->log is NULL then); NO_MEMORY */
enum cellar_status store_check_log_open(struct store_check_log *log,
                                        struct store_check_report *report,
                                        const struct store_data_dir *dir) CELLAR_MUST_USE;

/** Frees; also after a failed open. */
void store_check_log_close(struct store_check_log *log);

/**
 * Reads all records in order, once to count and to note gaps, or again.
 *
 * @param is_first  counts segments, groups and records, notes gaps
 * @param record    called for each sound record; its failure ends the reading
 * @return CELLAR_OK, NO_MEMORY, what `record` returned
 */
enum cellar_status store_check_log_read(
    struct store_check_log *log, bool is_first,
    enum cellar_status (*record)(void *context, const struct store_log_entry *entry), void *context)
    CELLAR_MUST_USE;

/** The last LSN and the newest low-water LSN; UINT64_MAX and 0 without a log. */
uint64_t store_check_log_end(const struct store_check_log *log);
uint64_t store_check_log_low_water(const struct store_check_log *log);

/** Where the record lies that store_check_log_read() is handing out: file and offset of its group.
 * @param file  STORE_CHECK_FILE_BYTES_MAX bytes, borrowed by `place` */
void store_check_log_place(const struct store_check_log *log, uint64_t lsn, char *file,
                           struct store_check_place *place);

/** Whether records above `needed_lsn`, and above the low-water LSN, cannot be read. */
bool store_check_log_has_gap(const struct store_check_log *log, uint64_t needed_lsn);

/** Says each gap: damage when it reaches above `needed_lsn`, what no store needs of the log; else a
 * note. */
void store_check_log_gaps(struct store_check_log *log, uint64_t needed_lsn);

#endif
