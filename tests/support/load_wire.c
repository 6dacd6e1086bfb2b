/*
 * Rows of a bulk load, as a client would send them.
 */
#include "tests/support/load_wire.h"

struct cellar_cell test_load_cell(const char *family, const char *qualifier, int64_t timestamp_us,
                                  const char *value)
{
    return (struct cellar_cell){cellar_slice_text(family), cellar_slice_text(qualifier),
                                timestamp_us, cellar_slice_text(value)};
}

void test_load_row_put(struct cellar_buffer *to, struct cellar_slice key,
                       const struct cellar_cell *cells, size_t cell_count)
{
    assert_int_equal(cellar_wire_put_array(to, 2), CELLAR_OK);
    assert_int_equal(cellar_wire_put_bytes(to, key), CELLAR_OK);
    assert_int_equal(cellar_wire_put_array(to, (uint32_t)cell_count * CELLAR_CELL_ELEMENTS),
                     CELLAR_OK);
    for (size_t i = 0; i < cell_count; i++) {
        assert_int_equal(cellar_buffer_reserve(to, cellar_cells_bytes_max(&cells[i])), CELLAR_OK);
        uint8_t *end =
            cellar_cells_put(to->data + to->bytes, &cells[i], 1, i == 0 ? NULL : &cells[i - 1], 1);
        to->bytes = (size_t)(end - to->data);
    }
}
