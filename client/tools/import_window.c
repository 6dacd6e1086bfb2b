/*
 * A ring of the rows that were read and are not settled.
 *
 *     settled | written  waiting  refused  waiting  written | next to read
 *             ^ first                                       ^ next
 *
 * Settling moves `first` over everything that is answered, in the input's order: so the sums always
 * speak of a beginning of the input, refusals come out by line, and whoever goes on at the settled
 * place neither leaves a row out nor tells a refusal twice. Lines of refusals are bounded in bytes,
 * rows in number; the reader waits when either is reached. Pure; the importer's lock guards it.
 */

#include "client/tools/import_window.h"

#include <stdio.h>

#include "common/mem.h"

enum entry_state { ENTRY_WAITING, ENTRY_WRITTEN, ENTRY_REFUSED };

struct cellar_window_entry {
    struct cellar_import_place place;
    enum entry_state state;
    uint64_t cell_count;
    uint64_t value_bytes;
    struct cellar_refusal *refusal;
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
    }
    CELLAR_ASSERT(window->next - window->first <= window->capacity);
    cellar_mem_free(window->entries);
    memset(window, 0, sizeof *window);
}

bool cellar_window_is_full(const struct cellar_import_window *window)
{
    CELLAR_ASSERT(window->next - window->first <= window->capacity);
    return window->next - window->first == window->capacity ||
           window->refused_bytes > CELLAR_WINDOW_REFUSED_BYTES_MAX;
}

uint64_t cellar_window_add(struct cellar_import_window *window, struct cellar_import_place place)
{
    uint64_t sequence = window->next;
    CELLAR_ASSERT(window->next - window->first < window->capacity);
    window->next++;
    *entry_of(window, sequence) = (struct cellar_window_entry){.place = place};
    return sequence;
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
    window->refused_bytes += refusal->raw.bytes;
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
        if (entry->state == ENTRY_WRITTEN) {
            counts->row_count++;
            counts->cell_count += entry->cell_count;
            counts->value_bytes += entry->value_bytes;
        } else {
            counts->refused_count++;
            CELLAR_ASSERT(window->refused_bytes >= entry->refusal->raw.bytes);
            window->refused_bytes -= entry->refusal->raw.bytes;
            *end = entry->refusal;
            end = &entry->refusal->next;
            entry->refusal = NULL;
        }
        counts->place = entry->place;
        window->first++;
    }
    return first;
}
