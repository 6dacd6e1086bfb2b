/*
 * Drops of rows and changes of families beside writers and readers, through the service in the
 * process, with checkpoints all the time.
 *
 * Each row belongs to one writer, which numbers its writes: a write puts its number into four
 * columns of the family f, and every other one into four of g as well. Rows are dropped by prefix
 * or all at once; g is dropped and created again, in one request or in two. What a reader must see
 * follows from what was known before it began and after it ended:
 *
 *   - the four columns of a family hold one number, or none is there: rows are never torn;
 *   - a number that was acknowledged before a drop began is not seen after the drop's answer;
 *   - a number that was acknowledged is seen (or a later one), unless a drop ran when its write
 *     began, or one began between then and the end of the read;
 *   - a number is not seen before its write begins.
 *
 * Nothing fails but what names g while it may be gone. The same holds after a restart or a crash.
 * A thread that sees something else stops all of them; the test's own thread then fails.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "common/sync.h"
#include "tests/support/model_service.h"
#include "tests/support/model_workload.h"

#define WRITERS 3u
#define READERS 2u
#define ROWS_PER_WRITER 8u
#define ROWS (WRITERS * ROWS_PER_WRITER)
#define COLUMNS 4u
#define ROUNDS 4u
#define NO_EPOCH UINT32_MAX

enum family { FAMILY_F, FAMILY_G, FAMILIES };

static const char *const family_names[FAMILIES] = {"f", "g"};

/* What is known of one family of a row; under the row's lock. */
struct track {
    uint32_t acked;       /* the last number acknowledged */
    uint32_t acked_epoch; /* `drops_begun` when its write began; NO_EPOCH: a drop ran then */
    uint32_t gone;        /* numbers up to this were there before a drop that has ended */
    uint32_t drops_begun;
    uint32_t drops_ended;
};

struct row {
    struct cellar_mutex lock;
    char key[8];
    uint32_t begun; /* the last number whose write began */
    struct track tracks[FAMILIES];
};

struct traffic {
    struct model_service service;
    struct row rows[ROWS];
    _Atomic bool is_over;
    _Atomic uint32_t absences_begun; /* times at which g may have begun to be gone ... */
    _Atomic uint32_t absences_ended; /* ... and was there for certain again */
    _Atomic uint32_t write_count;
    _Atomic uint32_t refused_count;
    _Atomic uint32_t read_count;
    _Atomic bool has_failed;
    char failure[400];
};

struct worker {
    struct traffic *traffic;
    struct test_random random;
    uint32_t index;
    pthread_t thread;
};

/* The first failure is kept; everybody stops. */
static CELLAR_PRINTF(2, 3) void traffic_fail(struct traffic *traffic, const char *format, ...)
{
    if (!atomic_exchange(&traffic->has_failed, true)) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(traffic->failure, sizeof traffic->failure, format, arguments);
        va_end(arguments);
    }
    atomic_store(&traffic->is_over, true);
}

/* ---- writers --------------------------------------------------------------------------------- */

static enum cellar_status number_write(struct traffic *traffic, const char *key, uint32_t number,
                                       bool has_g, struct cellar_error *error)
{
    struct cellar_mutation sets[FAMILIES * COLUMNS];
    const struct model_entry entry = {cellar_slice_text(key), sets,
                                      has_g ? FAMILIES * COLUMNS : COLUMNS};
    char qualifiers[COLUMNS][4];
    char value[16];
    (void)snprintf(value, sizeof value, "%u", number);
    for (size_t i = 0; i < entry.mutation_count; i++) {
        size_t column = i % COLUMNS;
        (void)snprintf(qualifiers[column], sizeof qualifiers[column], "q%zu", column);
        sets[i] = (struct cellar_mutation){.kind = CELLAR_MUTATION_SET,
                                           .family = cellar_slice_text(family_names[i / COLUMNS]),
                                           .qualifier = cellar_slice_text(qualifiers[column]),
                                           .timestamp_us = 1000,
                                           .value = cellar_slice_text(value)};
    }
    cellar_error_clear(error);
    return model_svc_mutate(traffic->service.svc, "t", &entry, error);
}

static void row_write(struct traffic *traffic, struct row *row, bool has_g)
{
    uint32_t epochs[FAMILIES];
    struct cellar_error error;
    cellar_mutex_lock(&row->lock);
    uint32_t number = ++row->begun;
    for (size_t i = 0; i < FAMILIES; i++) {
        const struct track *track = &row->tracks[i];
        epochs[i] = track->drops_begun == track->drops_ended ? track->drops_begun : NO_EPOCH;
    }
    cellar_mutex_unlock(&row->lock);
    uint32_t ended = atomic_load(&traffic->absences_ended);
    enum cellar_status status = number_write(traffic, row->key, number, has_g, &error);
    bool may_be_absent = atomic_load(&traffic->absences_begun) > ended;
    if (status == CELLAR_NOT_FOUND && has_g && may_be_absent) {
        atomic_fetch_add(&traffic->refused_count, 1);
        return;
    }
    if (status != CELLAR_OK) {
        traffic_fail(traffic, "write %u of row %s, families f%s: %s: %s", number, row->key,
                     has_g ? " and g" : "", cellar_status_text(status), error.text);
        return;
    }
    cellar_mutex_lock(&row->lock);
    for (size_t i = 0; i < (has_g ? FAMILIES : 1); i++) {
        row->tracks[i].acked = number;
        row->tracks[i].acked_epoch = epochs[i];
    }
    cellar_mutex_unlock(&row->lock);
    atomic_fetch_add(&traffic->write_count, 1);
}

static void *writer_run(void *context)
{
    struct worker *worker = context;
    struct row *rows = &worker->traffic->rows[worker->index * ROWS_PER_WRITER];
    while (!atomic_load(&worker->traffic->is_over)) {
        bool has_g = test_random_below(&worker->random, 2) == 0;
        row_write(worker->traffic, &rows[test_random_below(&worker->random, ROWS_PER_WRITER)],
                  has_g);
    }
    return NULL;
}

/* ---- readers --------------------------------------------------------------------------------- */

/* One read and what was known when it began. */
struct look {
    struct model_read read;
    struct model_range range;
    struct cellar_slice key;
    struct svc_column column;
    struct track before[ROWS][FAMILIES];
    uint32_t seen[ROWS][FAMILIES]; /* 0: not there */
    struct model_answer answer;
};

static bool look_asks(const struct look *look, const struct row *row, size_t family)
{
    struct cellar_slice key = cellar_slice_text(row->key);
    return (look->read.key_count == 0 || cellar_slice_equal(look->key, key)) &&
           (look->read.range_count == 0 || cellar_slice_has_prefix(key, look->range.start)) &&
           (look->read.column_count == 0 || family == FAMILY_F);
}

/* Everything, a prefix or a row, forwards or backwards, at times f alone. */
static void look_draw(struct look *look, const struct row *rows, struct test_random *random)
{
    const char *key = rows[test_random_below(random, ROWS)].key;
    uint64_t shape = test_random_below(random, 4);
    look->key = cellar_slice_text(key);
    look->range = (struct model_range){
        .start = {(const uint8_t *)key, 1 + (size_t)test_random_below(random, 2)},
        .is_prefix = true};
    look->column =
        (struct svc_column){.family = cellar_slice_text(family_names[FAMILY_F]), .is_family = true};
    look->read = (struct model_read){.keys = &look->key,
                                     .key_count = shape == 0 ? 1 : 0,
                                     .ranges = &look->range,
                                     .range_count = shape == 1 ? 1 : 0,
                                     .columns = &look->column,
                                     .column_count = test_random_below(random, 3) == 0 ? 1 : 0,
                                     .is_reversed = test_random_below(random, 3) == 0};
}

/* Takes the numbers of a row of the answer. @return false when it is torn */
static bool row_take(const struct look *look, const struct model_row *shown,
                     uint32_t numbers[FAMILIES])
{
    size_t counts[FAMILIES] = {0};
    for (size_t i = 0; i < shown->cell_count; i++) {
        const struct cellar_cell *cell = &look->answer.cells[shown->cell_first + i];
        size_t family = cell->family.data[0] == 'f' ? FAMILY_F : FAMILY_G;
        uint32_t number = 0;
        for (size_t j = 0; j < cell->value.bytes; j++) {
            number = number * 10 + (uint32_t)(cell->value.data[j] - '0');
        }
        if (counts[family] > 0 && number != numbers[family]) {
            return false;
        }
        numbers[family] = number;
        counts[family]++;
    }
    /* g comes with f only, so that it is never newer. */
    return counts[FAMILY_F] == COLUMNS && (counts[FAMILY_G] == 0 || counts[FAMILY_G] == COLUMNS) &&
           numbers[FAMILY_G] <= numbers[FAMILY_F];
}

static void look_take(struct traffic *traffic, struct look *look)
{
    const struct model_answer *answer = &look->answer;
    memset(look->seen, 0, sizeof look->seen);
    for (size_t i = 0; i < answer->row_count; i++) {
        size_t index = 0;
        while (index < ROWS && !cellar_slice_equal(answer->rows[i].key,
                                                   cellar_slice_text(traffic->rows[index].key))) {
            index++;
        }
        if (index == ROWS || !look_asks(look, &traffic->rows[index], FAMILY_F) ||
            look->seen[index][FAMILY_F] > 0) {
            traffic_fail(traffic, "row %.*s came twice, or nobody asked for it",
                         (int)answer->rows[i].key.bytes, (const char *)answer->rows[i].key.data);
            return;
        }
        if (i > 0 && (cellar_slice_compare(answer->rows[i - 1].key, answer->rows[i].key) < 0) ==
                         look->read.is_reversed) {
            traffic_fail(traffic, "row %s is out of order", traffic->rows[index].key);
        }
        if (!row_take(look, &answer->rows[i], look->seen[index])) {
            traffic_fail(traffic, "row %s is torn: %zu cells, f %u, g %u", traffic->rows[index].key,
                         answer->rows[i].cell_count, look->seen[index][FAMILY_F],
                         look->seen[index][FAMILY_G]);
        }
    }
}

/* Holds what was seen of one family of a row against what is known. */
static void track_check(struct traffic *traffic, const struct look *look, size_t index,
                        size_t family)
{
    struct row *row = &traffic->rows[index];
    const struct track *before = &look->before[index][family];
    uint32_t seen = look->seen[index][family];
    cellar_mutex_lock(&row->lock);
    uint32_t begun = row->begun;
    uint32_t drops_begun = row->tracks[family].drops_begun;
    cellar_mutex_unlock(&row->lock);
    bool is_certain = before->acked > 0 && before->acked_epoch == drops_begun;
    const char *wrong = NULL;
    if (seen > begun) {
        wrong = "was seen before it was written";
    } else if (seen > 0 && seen <= before->gone) {
        wrong = "was dropped before the read began";
    } else if (is_certain && seen < before->acked) {
        wrong = "is less than what was acknowledged, and no drop ran since";
    }
    if (wrong != NULL) {
        traffic_fail(traffic,
                     "row %s, family %s: number %u %s (begun %u, acknowledged %u, dropped up to "
                     "%u, drop %u of %u)",
                     row->key, family_names[family], seen, wrong, begun, before->acked,
                     before->gone, before->drops_ended, drops_begun);
    }
}

static void look_run(struct traffic *traffic, struct look *look, struct test_random *random)
{
    static const size_t chunk_bytes[] = {1, 200, 131072};
    struct cellar_error error;
    cellar_error_clear(&error);
    for (size_t i = 0; i < ROWS; i++) {
        cellar_mutex_lock(&traffic->rows[i].lock);
        memcpy(look->before[i], traffic->rows[i].tracks, sizeof look->before[i]);
        cellar_mutex_unlock(&traffic->rows[i].lock);
    }
    enum cellar_status status =
        model_svc_read(traffic->service.svc, "t", &look->read,
                       chunk_bytes[test_random_below(random, CELLAR_ARRAY_COUNT(chunk_bytes))],
                       &look->answer, &error);
    if (status != CELLAR_OK) {
        traffic_fail(traffic, "read: %s: %s", cellar_status_text(status), error.text);
        return;
    }
    look_take(traffic, look);
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t j = 0; j < FAMILIES && !atomic_load(&traffic->has_failed); j++) {
            if (look_asks(look, &traffic->rows[i], j)) {
                track_check(traffic, look, i, j);
            }
        }
    }
    atomic_fetch_add(&traffic->read_count, 1);
}

static void *reader_run(void *context)
{
    struct worker *worker = context;
    struct look look = {0};
    while (!atomic_load(&worker->traffic->is_over)) {
        look_draw(&look, worker->traffic->rows, &worker->random);
        look_run(worker->traffic, &look, &worker->random);
    }
    model_answer_fini(&look.answer);
    return NULL;
}

/* Everything, with nobody about. */
static void all_check(struct traffic *traffic)
{
    struct look look = {0};
    struct test_random random = {1};
    look_run(traffic, &look, &random);
    for (size_t i = 0; i < ROWS && !atomic_load(&traffic->has_failed); i++) {
        for (size_t j = 0; j < FAMILIES; j++) {
            uint32_t acked = traffic->rows[i].tracks[j].acked;
            if (look.seen[i][j] > acked) {
                traffic_fail(traffic, "row %s, family %s: number %u was refused",
                             traffic->rows[i].key, family_names[j], look.seen[i][j]);
            }
        }
    }
    model_answer_fini(&look.answer);
    if (atomic_load(&traffic->has_failed)) {
        fail_msg("%s", traffic->failure);
    }
}

/* ---- drops ----------------------------------------------------------------------------------- */

/* Families from `first` on, of the rows with a prefix: what is there now goes. */
static void drop_note_begin(struct traffic *traffic, struct cellar_slice prefix, size_t first,
                            uint32_t acked[ROWS][FAMILIES])
{
    for (size_t i = 0; i < ROWS; i++) {
        struct row *row = &traffic->rows[i];
        if (!cellar_slice_has_prefix(cellar_slice_text(row->key), prefix)) {
            continue;
        }
        cellar_mutex_lock(&row->lock);
        for (size_t j = first; j < FAMILIES; j++) {
            acked[i][j] = row->tracks[j].acked;
            row->tracks[j].drops_begun++;
        }
        cellar_mutex_unlock(&row->lock);
    }
}

static void drop_note_end(struct traffic *traffic, struct cellar_slice prefix, size_t first,
                          uint32_t acked[ROWS][FAMILIES])
{
    for (size_t i = 0; i < ROWS; i++) {
        struct row *row = &traffic->rows[i];
        if (!cellar_slice_has_prefix(cellar_slice_text(row->key), prefix)) {
            continue;
        }
        cellar_mutex_lock(&row->lock);
        for (size_t j = first; j < FAMILIES; j++) {
            row->tracks[j].gone = CELLAR_MAX(row->tracks[j].gone, acked[i][j]);
            row->tracks[j].drops_ended++;
        }
        cellar_mutex_unlock(&row->lock);
    }
}

static void rows_drop(struct traffic *traffic, struct test_random *random)
{
    uint32_t acked[ROWS][FAMILIES] = {{0}};
    struct cellar_error error;
    const char *key = traffic->rows[test_random_below(random, ROWS)].key;
    struct svc_rows_drop drop = {.table = cellar_slice_text("t"),
                                 .is_all = test_random_below(random, 6) == 0};
    if (!drop.is_all) {
        drop.prefix =
            cellar_slice_make((const uint8_t *)key, 1 + (size_t)test_random_below(random, 3));
    }
    cellar_error_clear(&error);
    drop_note_begin(traffic, drop.prefix, FAMILY_F, acked);
    enum cellar_status status = svc_drop_rows(traffic->service.svc, NULL, &drop, &error);
    if (status != CELLAR_OK) {
        traffic_fail(traffic, "drop: %s: %s", cellar_status_text(status), error.text);
    }
    drop_note_end(traffic, drop.prefix, FAMILY_F, acked);
}

static void families_change(struct traffic *traffic, const struct svc_family_change *list,
                            size_t count)
{
    const struct svc_family_changes changes = {cellar_slice_text("t"), list, count};
    struct cellar_error error;
    cellar_error_clear(&error);
    enum cellar_status status = model_svc_modify(traffic->service.svc, &changes, &error);
    if (status != CELLAR_OK) {
        traffic_fail(traffic, "change of families: %s: %s", cellar_status_text(status), error.text);
    }
}

/* A table without g refuses it. */
static void absence_check(struct traffic *traffic)
{
    struct cellar_error error;
    enum cellar_status status = number_write(traffic, "probe", 1, true, &error);
    if (status != CELLAR_NOT_FOUND) {
        traffic_fail(traffic, "a write to the dropped family ended with %s",
                     cellar_status_text(status));
    }
}

static void family_renew(struct traffic *traffic, struct test_random *random)
{
    uint32_t acked[ROWS][FAMILIES] = {{0}};
    const struct cellar_slice all = {NULL, 0};
    const struct svc_family g = {.name = cellar_slice_text(family_names[FAMILY_G])};
    const struct svc_family f = {.name = cellar_slice_text(family_names[FAMILY_F])};
    const struct svc_family_change list[] = {
        {SVC_FAMILY_DROP, g}, {SVC_FAMILY_CREATE, g}, {SVC_FAMILY_UPDATE, f}};
    bool is_one_request = test_random_below(random, 2) == 0;
    if (!is_one_request) {
        atomic_fetch_add(&traffic->absences_begun, 1);
    }
    drop_note_begin(traffic, all, FAMILY_G, acked);
    families_change(traffic, list, is_one_request ? CELLAR_ARRAY_COUNT(list) : 1);
    drop_note_end(traffic, all, FAMILY_G, acked);
    if (!is_one_request) {
        absence_check(traffic);
        families_change(traffic, &list[1], 1);
        atomic_fetch_add(&traffic->absences_ended, 1);
    }
}

/* A drop of rows or families for so many writes: about as many rows are dropped as written. */
static void *changer_run(void *context)
{
    struct worker *worker = context;
    struct traffic *traffic = worker->traffic;
    while (!atomic_load(&traffic->is_over)) {
        uint32_t pause_end =
            atomic_load(&traffic->write_count) + (uint32_t)test_random_below(&worker->random, 60);
        if (worker->index == 0) {
            rows_drop(traffic, &worker->random);
        } else {
            family_renew(traffic, &worker->random);
        }
        while (!atomic_load(&traffic->is_over) && atomic_load(&traffic->write_count) < pause_end) {
            (void)sched_yield();
        }
    }
    return NULL;
}

/* ---- the test -------------------------------------------------------------------------------- */

static void traffic_open(struct traffic *traffic)
{
    const struct svc_family families[] = {{.name = cellar_slice_text("g")},
                                          {.name = cellar_slice_text("f")}};
    const struct cellar_slice splits[] = {cellar_slice_text("b"), cellar_slice_text("b1")};
    const struct svc_table table = {.name = cellar_slice_text("t"),
                                    .families = families,
                                    .family_count = CELLAR_ARRAY_COUNT(families),
                                    .split_keys = splits,
                                    .split_key_count = CELLAR_ARRAY_COUNT(splits)};
    struct model_port *port = &traffic->service.port;
    struct svc_options options;
    struct cellar_error error;
    model_service_options_init(&options);
    options.log_segment_bytes = 65536;
    options.log_unapplied_bytes_max = 4 * 65536;
    options.checkpoint_records_max = 30;
    model_service_open(&traffic->service, &options);
    assert_int_equal(port->calls->create(port, &table, &error), CELLAR_OK);
    for (uint32_t i = 0; i < ROWS; i++) {
        cellar_mutex_init(&traffic->rows[i].lock);
        (void)snprintf(traffic->rows[i].key, sizeof traffic->rows[i].key, "%c%u%u",
                       'a' + (int)(i % 3), i / ROWS_PER_WRITER, i % ROWS_PER_WRITER);
    }
}

static void workers_start(struct worker *workers, size_t count, struct traffic *traffic,
                          struct test_random *seeds, void *(*run)(void *))
{
    for (size_t i = 0; i < count; i++) {
        workers[i] = (struct worker){
            .traffic = traffic, .random = {test_random_next(seeds)}, .index = (uint32_t)i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, run, &workers[i]), 0);
    }
}

static void workers_join(struct worker *workers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    }
}

/* Everybody at once until enough was written and read. */
static void round_run(struct traffic *traffic, struct test_random *seeds)
{
    struct worker writers[WRITERS];
    struct worker readers[READERS];
    struct worker changers[2];
    uint32_t writes_end = atomic_load(&traffic->write_count) + (uint32_t)model_steps(1500);
    uint32_t reads_end = atomic_load(&traffic->read_count) + (uint32_t)model_steps(300);
    atomic_store(&traffic->is_over, false);
    workers_start(writers, WRITERS, traffic, seeds, writer_run);
    workers_start(readers, READERS, traffic, seeds, reader_run);
    workers_start(changers, CELLAR_ARRAY_COUNT(changers), traffic, seeds, changer_run);
    while (!atomic_load(&traffic->is_over) && (atomic_load(&traffic->write_count) < writes_end ||
                                               atomic_load(&traffic->read_count) < reads_end)) {
        (void)sched_yield();
    }
    atomic_store(&traffic->is_over, true);
    workers_join(writers, WRITERS);
    workers_join(readers, READERS);
    workers_join(changers, CELLAR_ARRAY_COUNT(changers));
}

static void r_tab_15_r_tab_16_r_tab_17_r_tab_19_drops_beside_traffic_keep_their_word(void **state)
{
    static struct traffic traffic;
    struct test_random seeds = {test_seed("change traffic")};
    (void)state;
    memset(&traffic, 0, sizeof traffic);
    traffic_open(&traffic);
    for (unsigned round = 0; round < ROUNDS; round++) {
        round_run(&traffic, &seeds);
        if (atomic_load(&traffic.has_failed)) {
            fail_msg("%s", traffic.failure);
        }
        all_check(&traffic);
        model_service_restart(&traffic.service, round % 2 == 0);
        all_check(&traffic);
    }
    print_message("%u writes, %u refused, %u reads, %u drops of a row, %u of a family\n",
                  atomic_load(&traffic.write_count), atomic_load(&traffic.refused_count),
                  atomic_load(&traffic.read_count), traffic.rows[0].tracks[FAMILY_F].drops_ended,
                  traffic.rows[0].tracks[FAMILY_G].drops_ended -
                      traffic.rows[0].tracks[FAMILY_F].drops_ended);
    for (size_t i = 0; i < ROWS; i++) {
        cellar_mutex_fini(&traffic.rows[i].lock);
    }
    model_service_close(&traffic.service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(r_tab_15_r_tab_16_r_tab_17_r_tab_19_drops_beside_traffic_keep_their_word),
    };
    return cmocka_run_group_tests_name("change_traffic", tests, NULL, NULL);
}
