/*
 * What the table and server operations answer, decoded into structures for the program.
 *
 * Each structure lives at the head of a private one (struct box) that also holds an arena for
 * everything it points at, so that one free ends it. Texts are copied and get their NUL; keys are
 * copied as bytes. The server is not trusted: what does not have the form of PROTOCOL.md section 3
 * is CELLAR_IO_ERROR; nothing is given to the program then. Elements that a newer server adds
 * behind the known ones are stepped over.
 */

#include "client/lib/info.h"

#include "client/lib/mutations.h"
#include "common/gc_rule.h"
#include "common/mem.h"

#define TABLE_COUNT_MAX 1000000u

struct table_box {
    struct cellar_table_info info; /* first: freed through it */
    struct cellar_arena arena;
};

struct server_box {
    struct cellar_server_info info;
    struct cellar_arena arena;
};

struct list_box {
    struct cellar_table_list list;
    struct cellar_arena arena;
    const char **names;
    size_t capacity;
};

/* The failure for a body that is not of the form of PROTOCOL.md. */
static enum cellar_status broken(struct cellar_error *error, const char *what)
{
    CELLAR_ASSERT(what != NULL);
    return cellar_error_set(error, CELLAR_IO_ERROR,
                            "The server broke the protocol: %s cannot be read", what);
}

/* The failure for want of memory, the same text wherever it happens. */
static enum cellar_status no_memory(struct cellar_error *error)
{
    return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for an answer");
}

/* Opens a field that is an array; an absent one is empty. A server leaves an empty field out. */
static bool array_open(struct cellar_slice field, struct cellar_cursor *from, uint32_t *count)
{
    *count = 0;
    if (field.bytes == 0) {
        return true;
    }
    *from = cellar_cursor_make(field);
    CELLAR_ASSERT(from->at < from->end);
    return cellar_wire_get_array(from, count);
}

/* Steps over the elements of an array that this client does not know. What a newer server adds
 * comes behind what is known, so old clients go on working. */
static bool rest_skip(struct cellar_cursor *from, uint32_t known, uint32_t count)
{
    CELLAR_ASSERT(known <= count);
    for (uint32_t index = known; index < count; index++) {
        if (!cellar_wire_skip(from, NULL)) {
            return false;
        }
    }
    return true;
}

/* Copies a decoded rule's tree; its depth was bounded by the decoder. The public structure is
 * another than the library's own, so that the latter can change. */
static bool rule_copy(struct cellar_arena *arena, const struct cellar_gc_rule *from,
                      struct cellar_rule *to)
{
    *to = (struct cellar_rule){.kind = (enum cellar_rule_kind)from->kind, .amount = from->amount};
    if (from->child_count == 0) {
        return true;
    }
    struct cellar_rule *children = cellar_arena_alloc(arena, from->child_count * sizeof *children);
    CELLAR_ASSERT(from->children != NULL);
    for (uint32_t index = 0; children != NULL && index < from->child_count; index++) {
        if (!rule_copy(arena, &from->children[index], &children[index])) {
            return false;
        }
    }
    to->children = children;
    to->child_count = from->child_count;
    return children != NULL;
}

/* Reads one [name, rule]. */
static enum cellar_status family_decode(struct table_box *box, struct cellar_cursor *from,
                                        struct cellar_family_info *family,
                                        struct cellar_error *error)
{
    uint32_t count;
    struct cellar_slice name;
    struct cellar_gc_rule rule;
    if (!cellar_wire_get_array(from, &count) || count < 2 || !cellar_wire_get_text(from, &name)) {
        return broken(error, "a family");
    }
    enum cellar_status status = cellar_gc_rule_decode(from, &box->arena, &rule, error);
    if (status == CELLAR_NO_MEMORY) {
        return no_memory(error);
    }
    if (status != CELLAR_OK || !rest_skip(from, 2, count)) {
        return broken(error, "a family's rule");
    }
    family->name = cellar_arena_text(&box->arena, name.data, name.bytes);
    CELLAR_ASSERT(box->info.family_count > 0);
    return family->name == NULL || !rule_copy(&box->arena, &rule, &family->rule) ? no_memory(error)
                                                                                 : CELLAR_OK;
}

/* Reads the field `families`: [[name, rule], ...]. */
static enum cellar_status families_decode(struct table_box *box, struct cellar_slice field,
                                          struct cellar_error *error)
{
    struct cellar_cursor from;
    uint32_t count;
    CELLAR_ASSERT(box->info.families == NULL);
    if (!array_open(field, &from, &count)) {
        return broken(error, "a table's families");
    }
    struct cellar_family_info *list = cellar_arena_alloc(&box->arena, count * sizeof *list);
    if (list == NULL) {
        return no_memory(error);
    }
    box->info.families = list;
    box->info.family_count = count;
    for (uint32_t index = 0; index < count; index++) {
        CELLAR_TRY(family_decode(box, &from, &list[index], error));
    }
    return CELLAR_OK;
}

/* Reads one [start, end, store]. */
static enum cellar_status tablet_decode(struct table_box *box, struct cellar_cursor *from,
                                        struct cellar_tablet_info *tablet,
                                        struct cellar_error *error)
{
    uint32_t count;
    struct cellar_slice start;
    struct cellar_slice end;
    if (!cellar_wire_get_array(from, &count) || count < 3 || !cellar_wire_get_bytes(from, &start) ||
        !cellar_wire_get_bytes(from, &end) || !cellar_wire_get_u64(from, &tablet->store) ||
        !rest_skip(from, 3, count)) {
        return broken(error, "a tablet");
    }
    CELLAR_ASSERT(box->info.tablet_count > 0);
    const void *start_copy = cellar_arena_copy(&box->arena, start.data, start.bytes);
    const void *end_copy = cellar_arena_copy(&box->arena, end.data, end.bytes);
    tablet->start = cellar_view_of(start_copy, start.bytes);
    tablet->end = cellar_view_of(end_copy, end.bytes);
    return start_copy == NULL || end_copy == NULL ? no_memory(error) : CELLAR_OK;
}

/* Reads the field `tablets`: [[start, end, store], ...]. */
static enum cellar_status tablets_decode(struct table_box *box, struct cellar_slice field,
                                         struct cellar_error *error)
{
    struct cellar_cursor from;
    uint32_t count;
    CELLAR_ASSERT(box->info.tablets == NULL);
    if (!array_open(field, &from, &count)) {
        return broken(error, "a table's tablets");
    }
    struct cellar_tablet_info *list = cellar_arena_alloc(&box->arena, count * sizeof *list);
    if (list == NULL) {
        return no_memory(error);
    }
    box->info.tablets = list;
    box->info.tablet_count = count;
    for (uint32_t index = 0; index < count; index++) {
        CELLAR_TRY(tablet_decode(box, &from, &list[index], error));
    }
    return CELLAR_OK;
}

/* Reads a whole TABLE into the box; what was allocated before a failure dies with its arena. A
 * granularity that is not known is taken as milliseconds, which every table takes. */
static enum cellar_status table_fill(struct table_box *box, struct cellar_slice body,
                                     struct cellar_error *error)
{
    struct cellar_msg_table_reply reply;
    if (cellar_message_decode(&cellar_msg_table_reply_type, body, &reply, CELLAR_UNKNOWN_SKIP,
                              error) != CELLAR_OK) {
        return broken(error, "a table");
    }
    CELLAR_ASSERT(box->info.name == NULL);
    box->info.granularity =
        reply.granularity == CELLAR_GRANULARITY_MICROS ? CELLAR_TABLE_MICROS : CELLAR_TABLE_MILLIS;
    box->info.schema_version = reply.schema_version;
    box->info.name = cellar_arena_text(&box->arena, reply.name.data, reply.name.bytes);
    if (box->info.name == NULL) {
        return no_memory(error);
    }
    CELLAR_TRY(families_decode(box, reply.families, error));
    return tablets_decode(box, reply.tablets, error);
}

enum cellar_status cellar_table_info_decode(struct cellar_slice body,
                                            struct cellar_table_info **info,
                                            struct cellar_error *error)
{
    CELLAR_ASSERT(info != NULL);
    struct table_box *box = cellar_mem_zalloc(1, sizeof *box);
    if (box == NULL) {
        return no_memory(error);
    }
    enum cellar_status status = table_fill(box, body, error);
    if (status != CELLAR_OK) {
        cellar_table_info_free(&box->info);
        return status;
    }
    *info = &box->info;
    return CELLAR_OK;
}

void cellar_table_info_free(struct cellar_table_info *info)
{
    if (info != NULL) {
        struct table_box *box = CELLAR_CONTAINER_OF(info, struct table_box, info);
        CELLAR_ASSERT((void *)box == (void *)info);
        cellar_arena_fini(&box->arena);
        cellar_mem_free(box);
    }
}

/* Reads one [name, number]; a number that is no integer of 64 bits makes `*is_known` false. A
 * figure of another form is passed over: the others are no less right for it. */
static enum cellar_status figure_decode(struct server_box *box, struct cellar_cursor *from,
                                        struct cellar_figure *figure, bool *is_known,
                                        struct cellar_error *error)
{
    uint32_t count;
    struct cellar_slice name;
    CELLAR_ASSERT(figure != NULL);
    if (!cellar_wire_get_array(from, &count) || count < 2 || !cellar_wire_get_text(from, &name)) {
        return broken(error, "a figure");
    }
    *is_known = cellar_wire_get_i64(from, &figure->value);
    if (!*is_known && !cellar_wire_skip(from, NULL)) {
        return broken(error, "a figure's number");
    }
    if (!rest_skip(from, 2, count)) {
        return broken(error, "a figure");
    }
    figure->name = cellar_arena_text(&box->arena, name.data, name.bytes);
    return figure->name == NULL ? no_memory(error) : CELLAR_OK;
}

/* Reads SERVER_INFO's reply into the box, but for figures that are no integers. */
static enum cellar_status server_fill(struct server_box *box, struct cellar_slice body,
                                      struct cellar_error *error)
{
    struct cellar_msg_server_info_reply reply;
    struct cellar_cursor from;
    uint32_t count;
    if (cellar_message_decode(&cellar_msg_server_info_reply_type, body, &reply, CELLAR_UNKNOWN_SKIP,
                              error) != CELLAR_OK ||
        !array_open(reply.figures, &from, &count)) {
        return broken(error, "what the server says about itself");
    }
    box->info.uptime_us = reply.uptime_us;
    box->info.version = cellar_arena_text(&box->arena, reply.version.data, reply.version.bytes);
    box->info.data_dir = cellar_arena_text(&box->arena, reply.data_dir.data, reply.data_dir.bytes);
    struct cellar_figure *list = cellar_arena_alloc(&box->arena, count * sizeof *list);
    if (box->info.version == NULL || box->info.data_dir == NULL || list == NULL) {
        return no_memory(error);
    }
    box->info.figures = list;
    for (uint32_t index = 0; index < count; index++) {
        bool is_known = false;
        CELLAR_ASSERT(box->info.figure_count <= index);
        CELLAR_TRY(figure_decode(box, &from, &list[box->info.figure_count], &is_known, error));
        box->info.figure_count += is_known ? 1u : 0u;
    }
    return CELLAR_OK;
}

enum cellar_status cellar_server_info_decode(struct cellar_slice body,
                                             struct cellar_server_info **info,
                                             struct cellar_error *error)
{
    CELLAR_ASSERT(info != NULL);
    struct server_box *box = cellar_mem_zalloc(1, sizeof *box);
    if (box == NULL) {
        return no_memory(error);
    }
    enum cellar_status status = server_fill(box, body, error);
    if (status != CELLAR_OK) {
        cellar_server_info_free(&box->info);
        return status;
    }
    *info = &box->info;
    return CELLAR_OK;
}

void cellar_server_info_free(struct cellar_server_info *info)
{
    if (info != NULL) {
        struct server_box *box = CELLAR_CONTAINER_OF(info, struct server_box, info);
        CELLAR_ASSERT((void *)box == (void *)info);
        cellar_arena_fini(&box->arena);
        cellar_mem_free(box);
    }
}

struct cellar_table_list *cellar_table_list_new(void)
{
    static_assert(offsetof(struct list_box, list) == 0, "freed through the list");
    struct list_box *box = cellar_mem_zalloc(1, sizeof *box);
    return box == NULL ? NULL : &box->list;
}

/* Makes room for one more name. */
static bool names_reserve(struct list_box *box)
{
    CELLAR_ASSERT(box->list.count <= box->capacity);
    if (box->list.count < box->capacity) {
        return true;
    }
    size_t capacity = CELLAR_MAX(2 * box->capacity, (size_t)16);
    void *names = cellar_mem_realloc(box->names, capacity * sizeof *box->names);
    if (names == NULL) {
        return false;
    }
    box->names = names;
    box->list.names = box->names;
    box->capacity = capacity;
    return true;
}

/* Bounded, since a server that answers with page after page would else fill the memory. */
enum cellar_status cellar_table_list_add(struct cellar_table_list *list, struct cellar_slice body,
                                         struct cellar_slice *next_page, struct cellar_error *error)
{
    struct list_box *box = CELLAR_CONTAINER_OF(list, struct list_box, list);
    struct cellar_msg_list_tables_reply reply;
    struct cellar_cursor from;
    uint32_t count;
    if (cellar_message_decode(&cellar_msg_list_tables_reply_type, body, &reply, CELLAR_UNKNOWN_SKIP,
                              error) != CELLAR_OK ||
        !array_open(reply.names, &from, &count)) {
        return broken(error, "a list of tables");
    }
    CELLAR_ASSERT(box->list.count <= TABLE_COUNT_MAX);
    if (count > TABLE_COUNT_MAX - box->list.count) {
        return cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED,
                                "A list of tables must have at most %u names", TABLE_COUNT_MAX);
    }
    for (uint32_t index = 0; index < count; index++) {
        struct cellar_slice name;
        if (!cellar_wire_get_text(&from, &name)) {
            return broken(error, "a table's name");
        }
        char *copy =
            names_reserve(box) ? cellar_arena_text(&box->arena, name.data, name.bytes) : NULL;
        if (copy == NULL) {
            return no_memory(error);
        }
        box->names[box->list.count++] = copy;
    }
    *next_page = reply.next_page_token;
    return CELLAR_OK;
}

void cellar_table_list_free(struct cellar_table_list *list)
{
    if (list != NULL) {
        struct list_box *box = CELLAR_CONTAINER_OF(list, struct list_box, list);
        CELLAR_ASSERT((void *)box == (void *)list);
        cellar_arena_fini(&box->arena);
        cellar_mem_free(box->names);
        cellar_mem_free(box);
    }
}
