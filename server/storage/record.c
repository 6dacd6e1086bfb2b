/*
 * Payloads of log records, byte for byte as FORMAT.md, "Records", lays them out.
 *
 * Writers append to a buffer; readers walk a cursor and believe nothing: every length is held
 * against the bytes that are left and every type against the list, because what they read may be a
 * damaged file. Reserved types are refused here, so that a file of a later version is never half
 * understood.
 *
 * All functions are pure.
 */
#include "server/storage/record.h"

#include "server/storage/blob_files.h"

enum cellar_status store_mutation_encode(struct cellar_buffer *to,
                                         const struct store_mutation *mutation)
{
    CELLAR_ASSERT(mutation->row.bytes >= 1 && mutation->row.bytes <= CELLAR_ROW_BYTES_MAX);
    CELLAR_TRY(cellar_buffer_reserve(to, STORE_MUTATION_HEADER_BYTES + mutation->row.bytes));
    uint8_t *at = to->data + to->bytes;
    at[0] = STORE_MUTATION_VERSION;
    at[1] = 0; /* flags, all reserved */
    cellar_put_u16le(at + 2, (uint16_t)mutation->row.bytes);
    cellar_put_u32le(at + 4, mutation->schema_version);
    cellar_put_u64le(at + 8, (uint64_t)mutation->server_time_us);
    cellar_put_u32le(at + 16, mutation->item_count);
    cellar_put_u32le(at + 20, 0);
    memcpy(at + STORE_MUTATION_HEADER_BYTES, mutation->row.data, mutation->row.bytes);
    to->bytes += STORE_MUTATION_HEADER_BYTES + mutation->row.bytes;
    return CELLAR_OK;
}

static uint8_t *put_slice(uint8_t *to, struct cellar_slice slice)
{
    if (slice.bytes > 0) {
        memcpy(to, slice.data, slice.bytes);
    }
    return to + slice.bytes;
}

enum cellar_status store_item_encode(struct cellar_buffer *to, const struct store_item *item)
{
    CELLAR_ASSERT(item->family.bytes <= CELLAR_FAMILY_BYTES_MAX);
    CELLAR_ASSERT(item->qualifier.bytes <= CELLAR_QUALIFIER_BYTES_MAX);
    CELLAR_TRY(cellar_buffer_reserve(to, store_item_bytes(item)));
    uint8_t *at = to->data + to->bytes;
    at[0] = (uint8_t)item->type;
    at[1] = (uint8_t)item->family.bytes;
    cellar_put_u16le(at + 2, (uint16_t)item->qualifier.bytes);
    cellar_put_u32le(at + 4, (uint32_t)item->value.bytes);
    cellar_put_u32le(at + 8, item->generation);
    cellar_put_u32le(at + 12, 0);
    cellar_put_u64le(at + 16, (uint64_t)item->start_us);
    cellar_put_u64le(at + 24, (uint64_t)item->end_us);
    at = put_slice(at + STORE_ITEM_HEADER_BYTES, item->family);
    at = put_slice(at, item->qualifier);
    at = put_slice(at, item->value);
    to->bytes = (size_t)(at - to->data);
    return CELLAR_OK;
}

bool store_mutation_decode(struct cellar_cursor *from, struct store_mutation *mutation)
{
    struct cellar_cursor walk = *from;
    struct cellar_slice head;
    if (!cellar_cursor_take(&walk, STORE_MUTATION_HEADER_BYTES, &head) ||
        head.data[0] != STORE_MUTATION_VERSION || head.data[1] != 0) {
        return false;
    }
    size_t row_bytes = cellar_get_u16le(head.data + 2);
    if (row_bytes < 1 || row_bytes > CELLAR_ROW_BYTES_MAX ||
        !cellar_cursor_take(&walk, row_bytes, &mutation->row)) {
        return false;
    }
    mutation->schema_version = cellar_get_u32le(head.data + 4);
    mutation->server_time_us = (int64_t)cellar_get_u64le(head.data + 8);
    mutation->item_count = cellar_get_u32le(head.data + 16);
    CELLAR_ASSERT(walk.at <= walk.end);
    *from = walk;
    return mutation->server_time_us >= 0;
}

static bool item_is_sound(const struct store_item *item)
{
    struct store_blob blob;
    bool has_family = item->family.bytes >= 1 && item->family.bytes <= CELLAR_FAMILY_BYTES_MAX &&
                      item->generation > 0 &&
                      memchr(item->family.data, 0, item->family.bytes) == NULL;
    switch (item->type) {
    case STORE_ITEM_DELETE_ROW:
        return item->family.bytes == 0 && item->qualifier.bytes == 0 && item->value.bytes == 0;
    case STORE_ITEM_DELETE_FAMILY:
        return has_family && item->qualifier.bytes == 0 && item->value.bytes == 0;
    case STORE_ITEM_DELETE_COLUMN:
        return has_family && item->value.bytes == 0 && item->start_us >= 0 &&
               (item->end_us == 0 || item->end_us > item->start_us);
    case STORE_ITEM_SET:
        return has_family && item->start_us >= 0;
    case STORE_ITEM_TOKEN:
        return item->family.bytes == 0 && item->qualifier.bytes >= STORE_TOKEN_BYTES_MIN &&
               item->qualifier.bytes <= STORE_TOKEN_BYTES_MAX && item->start_us > 0 &&
               item->value.bytes <= STORE_TOKEN_OUTCOME_BYTES_MAX;
    case STORE_ITEM_SET_BLOB:
        return has_family && item->start_us >= 0 && store_blob_decode(item->value, &blob);
    case STORE_ITEM_ADD:
    case STORE_ITEM_MERGE:
        return false;
    }
    return false;
}

bool store_item_decode(struct cellar_cursor *from, struct store_item *item)
{
    struct cellar_cursor walk = *from;
    struct cellar_slice head;
    if (!cellar_cursor_take(&walk, STORE_ITEM_HEADER_BYTES, &head)) {
        return false;
    }
    item->type = (enum store_item_type)head.data[0];
    item->generation = cellar_get_u32le(head.data + 8);
    item->start_us = (int64_t)cellar_get_u64le(head.data + 16);
    item->end_us = (int64_t)cellar_get_u64le(head.data + 24);
    size_t qualifier_bytes = cellar_get_u16le(head.data + 2);
    if (qualifier_bytes > CELLAR_QUALIFIER_BYTES_MAX ||
        !cellar_cursor_take(&walk, head.data[1], &item->family) ||
        !cellar_cursor_take(&walk, qualifier_bytes, &item->qualifier) ||
        !cellar_cursor_take(&walk, cellar_get_u32le(head.data + 4), &item->value)) {
        return false;
    }
    if (!item_is_sound(item)) {
        return false;
    }
    CELLAR_ASSERT(walk.at > from->at);
    *from = walk;
    return true;
}

enum cellar_status store_range_drop_encode(struct cellar_buffer *to,
                                           const struct store_range_drop *drop)
{
    uint8_t head[STORE_RANGE_DROP_HEADER_BYTES] = {STORE_MUTATION_VERSION};
    CELLAR_ASSERT(drop->start.bytes <= CELLAR_ROW_BYTES_MAX);
    CELLAR_ASSERT(drop->end.bytes <= CELLAR_ROW_BYTES_MAX);
    cellar_put_u16le(head + 2, (uint16_t)drop->start.bytes);
    cellar_put_u16le(head + 4, (uint16_t)drop->end.bytes);
    CELLAR_TRY(cellar_buffer_reserve(to, sizeof head + drop->start.bytes + drop->end.bytes));
    CELLAR_TRY(cellar_buffer_append(to, head, sizeof head));
    CELLAR_TRY(cellar_buffer_append(to, drop->start.data, drop->start.bytes));
    return cellar_buffer_append(to, drop->end.data, drop->end.bytes);
}

bool store_range_drop_decode(struct cellar_slice payload, struct store_range_drop *drop)
{
    struct cellar_cursor from = cellar_cursor_make(payload);
    struct cellar_slice head;
    CELLAR_ASSERT(payload.bytes == 0 || payload.data != NULL);
    if (!cellar_cursor_take(&from, STORE_RANGE_DROP_HEADER_BYTES, &head) ||
        head.data[0] != STORE_MUTATION_VERSION || head.data[1] != 0 ||
        cellar_get_u16le(head.data + 6) != 0) {
        return false;
    }
    size_t start_bytes = cellar_get_u16le(head.data + 2);
    size_t end_bytes = cellar_get_u16le(head.data + 4);
    return start_bytes <= CELLAR_ROW_BYTES_MAX && end_bytes <= CELLAR_ROW_BYTES_MAX &&
           cellar_cursor_take(&from, start_bytes, &drop->start) &&
           cellar_cursor_take(&from, end_bytes, &drop->end) && from.at == from.end &&
           (end_bytes == 0 || cellar_slice_compare(drop->start, drop->end) < 0);
}

enum cellar_status store_catalog_begin(struct cellar_buffer *to, uint32_t count)
{
    CELLAR_ASSERT(count > 0);
    uint8_t head[8];
    cellar_put_u32le(head, STORE_MUTATION_VERSION);
    cellar_put_u32le(head + 4, count);
    return cellar_buffer_append(to, head, sizeof head);
}

enum cellar_status store_catalog_put(struct cellar_buffer *to, struct cellar_slice mutation)
{
    CELLAR_ASSERT(mutation.bytes <= UINT32_MAX);
    uint8_t head[4];
    cellar_put_u32le(head, (uint32_t)mutation.bytes);
    CELLAR_TRY(cellar_buffer_reserve(to, sizeof head + mutation.bytes));
    CELLAR_TRY(cellar_buffer_append(to, head, sizeof head));
    return cellar_buffer_append(to, mutation.data, mutation.bytes);
}

bool store_catalog_open(struct cellar_cursor *from, uint32_t *count)
{
    uint32_t version = 0;
    CELLAR_ASSERT(from->at <= from->end);
    return cellar_cursor_u32le(from, &version) && version == STORE_MUTATION_VERSION &&
           cellar_cursor_u32le(from, count) && *count > 0;
}

bool store_catalog_next(struct cellar_cursor *from, struct cellar_slice *mutation)
{
    uint32_t bytes = 0;
    CELLAR_ASSERT(from->at <= from->end);
    return cellar_cursor_u32le(from, &bytes) && cellar_cursor_take(from, bytes, mutation);
}
