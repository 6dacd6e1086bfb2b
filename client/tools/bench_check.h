#ifndef CELLAR_TOOLS_BENCH_CHECK_H
#define CELLAR_TOOLS_BENCH_CHECK_H

#include "client/tools/bench_data.h"

/*
 * What a benchmark has written, and whether what it reads can be right: every row that must be
 * there is, in order, with every byte of one of the values that the cell may have at that moment.
 *
 *     cellar_bench_state_begin()      an operation is about to be sent: fills in what it writes
 *     cellar_bench_check_row/cell/event()     as its answer is read
 *     cellar_bench_state_end()        it was answered
 */

enum cellar_bench_kind {
    CELLAR_BENCH_PUT_ROWS,    /* records record .. +count-1, whole */
    CELLAR_BENCH_PUT_COLUMNS, /* columns column .. +count-1 of wide row `record` */
    CELLAR_BENCH_PUT_EVENTS,  /* events version .. +count-1 of timeline `record` */
    CELLAR_BENCH_PUT_CELL,    /* field `column` of a record */
    CELLAR_BENCH_GET_CELL,    /* field `column` of a record */
    CELLAR_BENCH_GET_ROW,     /* a record */
    CELLAR_BENCH_SCAN,        /* `count` records from that of `record` on, in the order of keys */
    CELLAR_BENCH_SCAN_ALL,    /* every record */
    CELLAR_BENCH_SLICE,       /* columns column .. +count-1 of wide row `record` */
    CELLAR_BENCH_NEWEST,      /* the newest `count` events of timeline `record` */
    CELLAR_BENCH_KIND_COUNT
};

#define CELLAR_BENCH_INSERTS_MAX 65536u /* in flight at once */

/** One operation. */
struct cellar_bench_op {
    enum cellar_bench_kind kind;
    uint32_t column;
    uint32_t count;
    uint32_t version; /* the first one written */
    uint64_t record;
    bool is_modify; /* a GET_ROW that is followed by a PUT_CELL of `column` */
    bool is_insert; /* PUT_ROWS of a record that is made up as it is sent */
};

/** How many rows of each kind a run has. */
struct cellar_bench_sizes {
    uint64_t record_count;
    uint64_t timeline_count;
    uint64_t wide_count;
};

struct cellar_bench_cell_state;
struct cellar_bench_timeline;

/** What was written to one server. Zeroed, then init; fields but the sizes belong to the .c. */
struct cellar_bench_state {
    struct cellar_bench_sizes sizes;
    struct cellar_bench_cell_state *cells; /* of the loaded records, by record and field */
    struct cellar_bench_timeline *timelines;
    uint64_t *numbers; /* of the loaded records' keys, ascending */
    uint64_t put_count;
    uint64_t puts_in_flight;
    uint64_t inserts_sent;    /* records above the loaded ones */
    uint64_t inserts_settled; /* of these, how many are there for certain, without a gap */
    uint8_t *insert_is_done;  /* by the number of the insert, modulo CELLAR_BENCH_INSERTS_MAX */
};

/** The check of one answer; lies beside its operation. Fields belong to the .c. */
struct cellar_bench_check {
    const struct cellar_bench_state *state;
    const struct cellar_bench_op *op;
    uint64_t row_count; /* rows that came; events of a timeline are rows */
    uint64_t record;    /* of the row that is being read */
    uint64_t number;    /* of its key */
    uint64_t sorted_at; /* place of the next loaded record in `numbers` */
    uint64_t put_count;
    uint64_t puts_in_flight; /* when it was sent */
    uint32_t floors[CELLAR_BENCH_FIELD_COUNT];
    uint32_t cells_seen; /* of the row that is being read */
    uint32_t fields_seen;
    uint32_t sequence_next; /* of the next event, if it was there for certain */
};

/**
 * Makes room to keep track of that many rows, none of which is written yet.
 *
 * @param state  zeroed; ended with cellar_bench_state_fini()
 * @return CELLAR_OK; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_bench_state_init(struct cellar_bench_state *state,
                                           const struct cellar_bench_sizes *sizes,
                                           struct cellar_error *error) CELLAR_MUST_USE;

/** Frees its memory. */
void cellar_bench_state_fini(struct cellar_bench_state *state);

/** How many records can be read: the loaded ones and the inserts that are there for certain. */
uint64_t cellar_bench_state_records(const struct cellar_bench_state *state);

/**
 * Notes that an operation is about to be sent.
 *
 * @param op     what it writes is filled in: version of a put, record of an insert, first event
 * @param check  made ready for its answer; borrows both
 */
void cellar_bench_state_begin(struct cellar_bench_state *state, struct cellar_bench_op *op,
                              struct cellar_bench_check *check);

/**
 * Notes that an operation was answered, and checks that its answer was whole.
 *
 * @return CELLAR_OK; CELLAR_DATA_LOSS when rows or cells that must be there did not come
 */
enum cellar_status cellar_bench_state_end(struct cellar_bench_state *state,
                                          struct cellar_bench_check *check,
                                          struct cellar_error *error) CELLAR_MUST_USE;

/** A row came; CELLAR_DATA_LOSS when it is not the one due, or the one before was not whole. */
enum cellar_status cellar_bench_check_row(struct cellar_bench_check *check, struct cellar_slice key,
                                          struct cellar_error *error) CELLAR_MUST_USE;

/**
 * A cell of that row came, any field order, columns ascending.
 *
 * @return CELLAR_OK; CELLAR_DATA_LOSS when it was not asked for, came before, or its value cannot
 *         be the cell's
 */
enum cellar_status cellar_bench_check_cell(struct cellar_bench_check *check, uint32_t column,
                                           struct cellar_slice value, struct cellar_error *error)
    CELLAR_MUST_USE;

/** An event of a timeline came, the newest first; CELLAR_DATA_LOSS as above. */
enum cellar_status cellar_bench_check_event(struct cellar_bench_check *check, uint32_t sequence,
                                            struct cellar_slice value, struct cellar_error *error)
    CELLAR_MUST_USE;

/** True for an operation that changes something. */
bool cellar_bench_kind_is_write(enum cellar_bench_kind kind);

/** The kind's name, such as "get-row". */
const char *cellar_bench_kind_text(enum cellar_bench_kind kind);

#endif
