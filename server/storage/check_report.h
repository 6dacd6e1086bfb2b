#ifndef CELLAR_STORAGE_CHECK_REPORT_H
#define CELLAR_STORAGE_CHECK_REPORT_H

#include <stdio.h>

#include "common/buf.h"

/*
 * What a check of a data directory says: one line a finding, a summary at the end. A finding is
 * damage, or a note about something that is normal but worth knowing (a torn end of the log, a
 * folder that nobody names).
 *
 *     damage: stores/3/1/data.mdb offset 8192 store 3 table p/i/t tablet "" to "m" row "a\x00": why
 */

enum store_check_severity { STORE_CHECK_NOTE, STORE_CHECK_DAMAGE };

/** Where a finding is; what is zero or empty is not known and not said. All borrowed. */
struct store_check_place {
    const char *file; /* below the data directory */
    uint64_t offset;  /* in the file */
    bool has_offset;
    uint32_t store_id;
    bool has_store;
    struct cellar_slice table; /* PROJECT/INSTANCE/TABLE */
    struct cellar_slice tablet_start;
    struct cellar_slice tablet_end;
    bool has_tablet;
    struct cellar_slice row;
    bool has_row;
    struct cellar_slice rows_start; /* a range of rows: the damage lies somewhere in it */
    struct cellar_slice rows_end;   /* empty: to the last row */
    bool has_rows;
    struct cellar_slice family;
    struct cellar_slice qualifier;
    bool has_column;
    uint64_t first_lsn; /* 0: none */
    uint64_t last_lsn;
};

/** What was read. */
struct store_check_counts {
    uint64_t table_count;
    uint64_t store_count;
    uint64_t row_count;
    uint64_t item_count;
    uint64_t cell_count;
    uint64_t token_count;
    uint64_t cell_bytes; /* of packed cells, as stored */
    uint64_t segment_count;
    uint64_t group_count;
    uint64_t record_count;
    uint64_t unapplied_count; /* records that a start would replay */
};

/** Takes findings; zero-initialised but for out or find. One thread at a time. */
struct store_check_report {
    /** Takes each finding instead of `out`, for checks whose findings are not printed; NULL: they
     * are. Everything is borrowed for the call. */
    void (*find)(void *context, enum store_check_severity severity,
                 const struct store_check_place *place, const char *why);
    void *find_context;
    FILE *out;      /* findings and summary */
    FILE *progress; /* a line that is written over and over; NULL: none */
    bool is_json;   /* one object a line */
    uint64_t damage_count;
    uint64_t note_count;
    uint64_t scope_count;  /* findings since store_check_scope_begin() */
    uint64_t scope_damage; /* of them, damage */
    int64_t progress_at_us;
    bool has_progress; /* the line is there and must be wiped before other output */
    struct store_check_counts counts;
};

/** So many findings of one scope are printed; further ones are counted. */
#define STORE_CHECK_FINDING_COUNT_MAX 1000u

/** Room for the name of a file below the data directory. */
#define STORE_CHECK_FILE_BYTES_MAX 64u

/** Begins a scope: a store, the log. */
void store_check_scope_begin(struct store_check_report *report);

/** Ends it: says how many findings were counted only. */
void store_check_scope_end(struct store_check_report *report);

/** Says one finding, to report->find where there is one. @param place may be NULL @param format
 * why, without a period */
void store_check_find(struct store_check_report *report, enum store_check_severity severity,
                      const struct store_check_place *place, const char *format, ...)
    CELLAR_PRINTF(4, 5);

/** Shows how far it is, at most a few times a second and only where there is a terminal. */
void store_check_progress(struct store_check_report *report, const char *what, uint64_t done,
                          uint64_t total);

/** Prints the summary: counts, then `OK` or the number of problems. */
void store_check_report_end(struct store_check_report *report);

#endif
