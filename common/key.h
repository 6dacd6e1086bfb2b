#ifndef CELLAR_COMMON_KEY_H
#define CELLAR_COMMON_KEY_H

#include "common/cell.h"

/*
 * A cell's position as bytes that sort, by memcmp with a prefix first, exactly as cells do:
 *
 *     row, escaped (00 -> 00 FF), 00 01          the row's part; alone it is the row's position
 *     family name, 00, generation (4 bytes BE)   alone behind the row it is the family's position
 *     qualifier, escaped, 00 01                  alone behind the family: the column's position
 *     ~timestamp (8 bytes BE)                    newest first
 *
 * Family names hold no 00, so they need no escape. FORMAT.md, "Keys".
 */

#define CELLAR_KEY_ROW_BYTES_MAX (2u * CELLAR_ROW_BYTES_MAX + 2u)
#define CELLAR_KEY_FAMILY_BYTES_MAX (CELLAR_FAMILY_BYTES_MAX + 5u)
#define CELLAR_KEY_QUALIFIER_BYTES_MAX (2u * CELLAR_QUALIFIER_BYTES_MAX + 2u)
#define CELLAR_KEY_BYTES_MAX                                                                       \
    (CELLAR_KEY_ROW_BYTES_MAX + CELLAR_KEY_FAMILY_BYTES_MAX + CELLAR_KEY_QUALIFIER_BYTES_MAX + 8u)

/** Bytes that cellar_key_put_escaped() will write for `bytes`, with escapes and the end 00 01. */
size_t cellar_key_escaped_bytes(struct cellar_slice bytes);

/** Writes the bytes escaped and ended by 00 01. @return the first byte behind them. */
uint8_t *cellar_key_put_escaped(uint8_t *to, struct cellar_slice bytes);

/** Writes name, 00, generation. @return the first byte behind them. */
uint8_t *cellar_key_put_family(uint8_t *to, struct cellar_slice name, uint32_t generation);

/** Writes a timestamp >= 0, inverted. @return the first byte behind it. */
uint8_t *cellar_key_put_timestamp(uint8_t *to, int64_t timestamp_us);

/**
 * Finds the end of the escaped part at the start of `key`.
 *
 * @return its length with the 00 01, or 0 when there is none (damage)
 */
size_t cellar_key_escaped_span(struct cellar_slice key);

/**
 * Turns a row's escaped part into the first key behind all keys of that row: its end 00 01 becomes
 * 00 02, which no key has.
 *
 * @param row_key  changed in place
 * @param bytes    of it, 3 at least
 */
void cellar_key_pass_row(uint8_t *row_key, size_t bytes);

/**
 * Undoes the escape of a part that cellar_key_escaped_span() measured.
 *
 * @param part  the escaped bytes with their 00 01
 * @param to    room for part.bytes bytes
 * @return bytes written
 */
size_t cellar_key_unescape(struct cellar_slice part, uint8_t *to);

/**
 * Splits what stands behind the row's part of a full cell position.
 *
 * @param rest        family, qualifier and timestamp parts, complete
 * @param family      receives the name (borrowed from rest)
 * @param generation  receives the family's generation
 * @param qualifier   receives the qualifier's part, still escaped, with its 00 01
 * @return false when `rest` is not of that form; then nothing is written
 */
bool cellar_key_split(struct cellar_slice rest, struct cellar_slice *family, uint32_t *generation,
                      struct cellar_slice *qualifier, int64_t *timestamp_us);

/**
 * The length of the shortest prefix of `next` that is greater than `before`; the prefix separates
 * the two.
 *
 * @param before  less than `next`, by memcmp, prefix first
 * @return 1..next.bytes
 */
size_t cellar_key_separator_bytes(struct cellar_slice before, struct cellar_slice next);

#endif
