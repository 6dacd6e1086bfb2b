/*
 * A ring of the rows that were read and are not settled.
 *
 *     settled | written  waiting  refused  waiting  written | next to read
 *             ^ first                                       ^ next
 *
 * Settling moves `first` over everything that is answered, in the input's order: so the sums always
 * speak of a beginning of the input, refusals come out by line, and whoever goes on at the settled
 * place neither leaves a row out nor tells a refusal twice. Lines are bounded in bytes, rows in
 * number; the reader waits when either is reached.
 *
 * A row may be a few entries. They are settled one by one, so that a row of any size passes through
 * a small ring; what is known of it is added up beside the ring until its last entry, which alone
 * moves the place and the counts. Pure; the importer's lock guards it.
 */

#include "client/tools/import_window.h"

#include <stdio.h>

#include "common/mem.h"

enum entry_state { ENTRY_WAITING, ENTRY_WRITTEN, ENTRY_REFUSED };

struct cellar_window_entry {
    struct cellar_window_item item;
    enum entry_state state;
    uint64_t cell_count;
    uint64_t value_bytes;
    struct cellar_refusal *refusal;
    struct cellar_buffer raw; /* kept for the refusal of a part before */
};

struct cellar_refusal *cellar_refusal_new(const char *text)
{
    struct cellar_refusal *refusal = cellar_mem_zalloc(1, sizeof *refusal);
    CELLAR_ASSERT(text != NULL);
    if (refusal != NULL) {
        (void)snprintf(refusal->text, sizeof refusal->text, "%.255s", text);
    }
    return refusal;
}

void cellar_refusal_free(struct cellar_refusal *refusal)
{
    if (refusal != NULL) {
        CELLAR_ASSERT(refusal->line <= refusal->line_last);
        cellar_buffer_fini(&refusal->raw);
        cellar_mem_free(refusal);
    }
}

enum cellar_status cellar_window_init(struct cellar_import_window *window, uint64_t capacity)
{
    CELLAR_ASSERT(window->entries == NULL && capacity > 0);
    window->entries = cellar_mem_zalloc(capacity, sizeof *window->entries);
    window->capacity = capacity;
    return window->entries == NULL ? CELLAR_NO_MEMORY : CELLAR_OK;
}

/* The entry of a sequence number. */
static struct cellar_window_entry *entry_of(const struct cellar_import_window *window,
                                            uint64_t sequence)
{
    CELLAR_ASSERT(sequence >= window->first && sequence < window->next);
    return &window->entries[sequence % window->capacity];
}

void cellar_window_fini(struct cellar_import_window *window)
{
    for (uint64_t at = window->first; at < window->next; at++) {
        cellar_refusal_free(entry_of(window, at)->refusal);
        cellar_buffer_fini(&entry_of(window, at)->raw);
    }
    cellar_refusal_free(window->row_refusal);
    CELLAR_ASSERT(window->next - window->first <= window->capacity);
    cellar_mem_free(window->entries);
    memset(window, 0, sizeof *window);
}

bool cellar_window_is_full(const struct cellar_import_window *window)
{
    CELLAR_ASSERT(window->next - window->first <= window->capacity);
    return window->next - window->first == window->capacity ||
           window->raw_bytes > CELLAR_WINDOW_RAW_BYTES_MAX;
}

uint64_t cellar_window_add(struct cellar_import_window *window,
                           const struct cellar_window_item *item)
{
    uint64_t sequence = window->next;
    CELLAR_ASSERT(window->next - window->first < window->capacity);
    window->next++;
    *entry_of(window, sequence) = (struct cellar_window_entry){.item = *item};
    window->raw_bytes += item->raw_bytes;
    return sequence;
}

void cellar_window_keep_take(struct cellar_import_window *window, uint64_t sequence,
                             struct cellar_buffer *raw)
{
    struct cellar_window_entry *entry = entry_of(window, sequence);
    CELLAR_ASSERT(entry->raw.data == NULL && !entry->item.has_more);
    entry->raw = *raw;
    *raw = (struct cellar_buffer){0};
}

void cellar_window_written(struct cellar_import_window *window, uint64_t sequence,
                           uint64_t cell_count, uint64_t value_bytes)
{
    struct cellar_window_entry *entry = entry_of(window, sequence);
    CELLAR_ASSERT(entry->state == ENTRY_WAITING);
    entry->state = ENTRY_WRITTEN;
    entry->cell_count = cell_count;
    entry->value_bytes = value_bytes;
}

void cellar_window_refused_take(struct cellar_import_window *window, uint64_t sequence,
                                struct cellar_refusal *refusal)
{
    struct cellar_window_entry *entry = entry_of(window, sequence);
    CELLAR_ASSERT(entry->state == ENTRY_WAITING && refusal != NULL);
    entry->state = ENTRY_REFUSED;
    entry->refusal = refusal;
}

/* Adds an answered entry to what is known of its row. */
static void entry_settle(struct cellar_import_window *window, struct cellar_window_entry *entry)
{
    CELLAR_ASSERT(entry->state != ENTRY_WAITING && window->raw_bytes >= entry->item.raw_bytes);
    window->raw_bytes -= entry->item.raw_bytes;
    window->row_cell_count += entry->cell_count;
    window->row_value_bytes += entry->value_bytes;
    if (entry->refusal != NULL && window->row_refusal == NULL) {
        window->row_refusal = entry->refusal;
    } else if (entry->refusal != NULL) {
        if (window->row_refusal->raw.bytes == 0) { /* the lines come with the last part */
            cellar_buffer_fini(&window->row_refusal->raw);
            window->row_refusal->raw = entry->refusal->raw;
            entry->refusal->raw = (struct cellar_buffer){0};
        }
        cellar_refusal_free(entry->refusal);
    }
    entry->refusal = NULL;
}

/* Ends the row whose last entry was settled. @return its refusal, or NULL */
static struct cellar_refusal *row_settle(struct cellar_import_window *window,
                                         struct cellar_window_entry *last,
                                         struct cellar_import_counts *counts)
{
    struct cellar_refusal *refusal = window->row_refusal;
    CELLAR_ASSERT(!last->item.has_more);
    if (refusal == NULL) {
        counts->row_count++;
        counts->cell_count += window->row_cell_count;
        counts->value_bytes += window->row_value_bytes;
    } else {
        counts->refused_count++;
        if (refusal->raw.bytes == 0) {
            cellar_buffer_fini(&refusal->raw);
            refusal->raw = last->raw;
            last->raw = (struct cellar_buffer){0};
        }
    }
    cellar_buffer_fini(&last->raw);
    counts->place = last->item.place;
    window->row_cell_count = 0;
    window->row_value_bytes = 0;
    window->row_refusal = NULL;
    return refusal;
}

struct cellar_refusal *cellar_window_settle(struct cellar_import_window *window,
                                            struct cellar_import_counts *counts)
{
    struct cellar_refusal *first = NULL;
    struct cellar_refusal **end = &first;
    while (window->first < window->next) {
        struct cellar_window_entry *entry = entry_of(window, window->first);
        if (entry->state == ENTRY_WAITING) {
            break;
        }
        entry_settle(window, entry);
        struct cellar_refusal *refusal =
            entry->item.has_more ? NULL : row_settle(window, entry, counts);
        if (refusal != NULL) {
            *end = refusal;
            end = &refusal->next;
        }
        window->first++;
    }
    CELLAR_ASSERT(window->first <= window->next);
    return first;
}
