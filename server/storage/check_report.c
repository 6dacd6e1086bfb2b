/*
 * Findings of a check as lines for people, or as one JSON object a line for programs.
 *
 * Both forms are made from one list of fields, so that they say the same. Keys are bytes: what is
 * not printable ASCII, and quotes and backslashes, are written as \xNN, which is what the tool
 * `cellar` takes as an argument. A JSON string holds the same text, with its backslashes doubled.
 *
 * A damaged file can have more findings than anybody reads: those of one scope (a store, the log)
 * are printed up to a limit and counted behind it. Nothing here allocates.
 */
#include "server/storage/check_report.h"

#include <inttypes.h>
#include <stdarg.h>

#include "common/clock.h"

#define PROGRESS_INTERVAL_US 200000
#define WHY_BYTES_MAX 512u

/* Writes fields one by one, in either form. */
struct writer {
    FILE *out;
    bool is_json;
    bool has_field; /* a separator is due */
};

/* Keys of any bytes on a terminal: nothing that it would obey gets through. */
static void bytes_put(const struct writer *writer, struct cellar_slice bytes)
{
    CELLAR_ASSERT(bytes.bytes == 0 || bytes.data != NULL);
    for (size_t i = 0; i < bytes.bytes; i++) {
        uint8_t byte = bytes.data[i];
        if (byte >= 0x20 && byte < 0x7F && byte != '"' && byte != '\\') {
            (void)fputc(byte, writer->out);
        } else {
            (void)fprintf(writer->out, "%sx%02x", writer->is_json ? "\\\\" : "\\", byte);
        }
    }
}

/* The one place that knows where separators go. */
static void name_put(struct writer *writer, const char *name)
{
    CELLAR_ASSERT(name[0] != '\0');
    if (writer->is_json) {
        (void)fprintf(writer->out, "%s\"%s\":", writer->has_field ? "," : "", name);
    } else {
        (void)fprintf(writer->out, " %s ", name);
    }
    writer->has_field = true;
}

static void number_put(struct writer *writer, const char *name, uint64_t number)
{
    CELLAR_ASSERT(writer->out != NULL);
    name_put(writer, name);
    (void)fprintf(writer->out, "%" PRIu64, number);
}

static void quoted_put(struct writer *writer, const char *name, struct cellar_slice bytes)
{
    CELLAR_ASSERT(writer->out != NULL);
    name_put(writer, name);
    (void)fputc('"', writer->out);
    bytes_put(writer, bytes);
    (void)fputc('"', writer->out);
}

/* A path or a table: bare in a line for people. */
static void word_put(struct writer *writer, const char *name, struct cellar_slice bytes)
{
    CELLAR_ASSERT(bytes.bytes > 0);
    if (writer->is_json) {
        quoted_put(writer, name, bytes);
        return;
    }
    if (strcmp(name, "file") == 0) {
        (void)fputc(' ', writer->out);
    } else {
        name_put(writer, name);
    }
    bytes_put(writer, bytes);
}

/* A range of keys: "a" to "b"; an empty end is no end. */
static void range_put(struct writer *writer, const char *name, struct cellar_slice start,
                      struct cellar_slice end)
{
    CELLAR_ASSERT(name[0] != '\0');
    if (writer->is_json) {
        char text[32];
        (void)snprintf(text, sizeof text, "%s_start", name);
        quoted_put(writer, text, start);
        (void)snprintf(text, sizeof text, "%s_end", name);
        quoted_put(writer, text, end);
        return;
    }
    quoted_put(writer, name, start);
    (void)fputs(" to \"", writer->out);
    bytes_put(writer, end);
    (void)fputc('"', writer->out);
}

static void column_put(struct writer *writer, const struct store_check_place *place)
{
    CELLAR_ASSERT(place->has_column);
    if (writer->is_json) {
        quoted_put(writer, "family", place->family);
        quoted_put(writer, "qualifier", place->qualifier);
        return;
    }
    name_put(writer, "column");
    (void)fputc('"', writer->out);
    bytes_put(writer, place->family);
    (void)fputc(':', writer->out);
    bytes_put(writer, place->qualifier);
    (void)fputc('"', writer->out);
}

static void lsn_put(struct writer *writer, const struct store_check_place *place)
{
    CELLAR_ASSERT(place->first_lsn <= place->last_lsn);
    if (writer->is_json) {
        number_put(writer, "first_lsn", place->first_lsn);
        number_put(writer, "last_lsn", place->last_lsn);
        return;
    }
    number_put(writer, "lsn", place->first_lsn);
    if (place->last_lsn > place->first_lsn) {
        (void)fprintf(writer->out, " to %" PRIu64, place->last_lsn);
    }
}

/* From the file to the cell: the order in which somebody looks for it. */
static void place_put(struct writer *writer, const struct store_check_place *place)
{
    CELLAR_ASSERT(place != NULL);
    if (place->file != NULL) {
        word_put(writer, "file", cellar_slice_text(place->file));
    }
    if (place->has_offset) {
        number_put(writer, "offset", place->offset);
    }
    if (place->has_store) {
        number_put(writer, "store", place->store_id);
    }
    if (place->table.bytes > 0) {
        word_put(writer, "table", place->table);
    }
    if (place->has_tablet) {
        range_put(writer, "tablet", place->tablet_start, place->tablet_end);
    }
    if (place->has_rows) {
        range_put(writer, "rows", place->rows_start, place->rows_end);
    }
    if (place->has_row) {
        quoted_put(writer, "row", place->row);
    }
    if (place->has_column) {
        column_put(writer, place);
    }
    if (place->first_lsn > 0) {
        lsn_put(writer, place);
    }
}

/* Findings must not stand behind half a line of progress. */
static void progress_wipe(struct store_check_report *report)
{
    if (report->has_progress) {
        (void)fputs("\r\033[K", report->progress);
        (void)fflush(report->progress);
        report->has_progress = false;
    }
    CELLAR_ASSERT(!report->has_progress);
}

static void finding_print(struct store_check_report *report, enum store_check_severity severity,
                          const struct store_check_place *place, const char *why)
{
    const char *word = severity == STORE_CHECK_DAMAGE ? "damage" : "note";
    struct writer writer = {.out = report->out, .is_json = report->is_json, .has_field = true};
    CELLAR_ASSERT(report->out != NULL);
    progress_wipe(report);
    (void)fprintf(report->out, report->is_json ? "{\"severity\":\"%s\"" : "%s:", word);
    if (place != NULL) {
        place_put(&writer, place);
    }
    if (report->is_json) {
        quoted_put(&writer, "why", cellar_slice_text(why));
        (void)fputs("}\n", report->out);
        return;
    }
    bool has_place = place != NULL && (place->file != NULL || place->has_store);
    (void)fprintf(report->out, "%s ", has_place ? ":" : "");
    bytes_put(&writer, cellar_slice_text(why));
    (void)fputc('\n', report->out);
}

/* Counted always, printed up to the limit: the exit code and the summary depend on the counts
 * alone. */
void store_check_find(struct store_check_report *report, enum store_check_severity severity,
                      const struct store_check_place *place, const char *format, ...)
{
    char why[WHY_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    CELLAR_ASSERT(bytes > 0);
    if (severity == STORE_CHECK_DAMAGE) {
        report->damage_count++;
        report->scope_damage++;
    } else {
        report->note_count++;
    }
    if (report->find != NULL) {
        report->find(report->find_context, severity, place, why);
    } else if (report->scope_count++ < STORE_CHECK_FINDING_COUNT_MAX) {
        finding_print(report, severity, place, why);
    }
}

void store_check_scope_begin(struct store_check_report *report)
{
    report->scope_count = 0;
    report->scope_damage = 0;
    CELLAR_ASSERT(report->out != NULL);
}

void store_check_scope_end(struct store_check_report *report)
{
    uint64_t more = report->scope_count -
                    CELLAR_MIN(report->scope_count, (uint64_t)STORE_CHECK_FINDING_COUNT_MAX);
    CELLAR_ASSERT(report->scope_damage <= report->scope_count);
    if (more > 0) {
        char why[96];
        (void)snprintf(why, sizeof why, "%" PRIu64 " further findings here are counted only", more);
        finding_print(report, STORE_CHECK_NOTE, NULL, why);
    }
    report->scope_count = 0;
}

/* Five times a second at most: a terminal over a network takes longer than the check. */
void store_check_progress(struct store_check_report *report, const char *what, uint64_t done,
                          uint64_t total)
{
    if (report->progress == NULL) {
        return;
    }
    int64_t now_us = cellar_clock_monotonic_us();
    if (now_us - report->progress_at_us < PROGRESS_INTERVAL_US) {
        return;
    }
    CELLAR_ASSERT(what != NULL);
    report->progress_at_us = now_us;
    report->has_progress = true;
    (void)fprintf(report->progress, "\r\033[Kchecking %s: %" PRIu64 " of %" PRIu64 " MiB", what,
                  done >> 20, total >> 20);
    (void)fflush(report->progress);
}

/* The names of the figures are part of what programs read; they stay. */
void store_check_report_end(struct store_check_report *report)
{
    const struct store_check_counts *counts = &report->counts;
    progress_wipe(report);
    CELLAR_ASSERT(report->out != NULL);
    const struct {
        const char *name;
        uint64_t value;
    } figures[] = {
        {"tables", counts->table_count},
        {"stores", counts->store_count},
        {"rows", counts->row_count},
        {"items", counts->item_count},
        {"cells", counts->cell_count},
        {"bytes", counts->cell_bytes},
        {"tokens", counts->token_count},
        {"log_segments", counts->segment_count},
        {"log_groups", counts->group_count},
        {"log_records", counts->record_count},
        {"unapplied_records", counts->unapplied_count},
        {"notes", report->note_count},
        {"problems", report->damage_count},
    };
    struct writer writer = {.out = report->out, .is_json = report->is_json};
    (void)fputs(report->is_json ? "{" : "checked:", report->out);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(figures); i++) {
        number_put(&writer, figures[i].name, figures[i].value);
    }
    (void)fputs(report->is_json ? "}\n" : "\n", report->out);
    if (!report->is_json && report->damage_count > 0) {
        (void)fprintf(report->out, "%" PRIu64 " problem%s\n", report->damage_count,
                      report->damage_count == 1 ? "" : "s");
    } else if (!report->is_json) {
        (void)fputs("OK\n", report->out);
    }
    (void)fflush(report->out);
}
