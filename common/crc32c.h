#ifndef CELLAR_COMMON_CRC32C_H
#define CELLAR_COMMON_CRC32C_H

#include "common/base.h"

/**
 * Continues a CRC-32C (Castagnoli, reflected, as in RFC 3720) over more bytes.
 *
 * @param crc    the value so far, 0 to begin
 * @param data   borrowed; may be NULL when `bytes` is 0
 * @return the CRC of all bytes so far: crc32c(0, "123456789", 9) == 0xe3069283
 * @thread any
 */
uint32_t cellar_crc32c(uint32_t crc, const void *data, size_t bytes);

/** The same without processor instructions, for machines that lack them and to test one by the
 * other. */
uint32_t cellar_crc32c_portable(uint32_t crc, const void *data, size_t bytes);

#endif
