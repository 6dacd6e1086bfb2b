/*
 * Received bytes that wait to be handled; input.h says what for.
 *
 * The budget counts the capacity of the buffer, not its use, once it is above IO_INPUT_FREE_BYTES:
 * that is what the process really holds. Growth is asked for before it happens, except for bytes
 * that are in memory already (a read into the loop's scratch memory that ended inside a frame):
 * those are charged as they are and can overdraw the budget by one scratch a connection, after
 * which growth is refused.
 *
 * `charged_bytes` always equals what charge_owed() says at the end of a public function.
 */
#include "server/io/input.h"

#include "common/mem.h"

/* What a buffer of that capacity counts. */
static uint64_t charge_owed(size_t capacity)
{
    return capacity > IO_INPUT_FREE_BYTES ? (uint64_t)capacity : 0;
}

/* Makes the count what the capacity owes, whatever the budget says to it. */
static void settle_charge(struct io_input *input)
{
    uint64_t owed = charge_owed(input->kept.capacity);
    if (owed > input->charged_bytes) {
        io_budget_charge(input->budget, owed - input->charged_bytes);
    } else if (owed < input->charged_bytes) {
        io_budget_give(input->budget, input->charged_bytes - owed);
    }
    input->charged_bytes = owed;
}

/* Exact sizes: the caller knows how long the frame is, so doubling would only waste budget. */
static enum cellar_status set_capacity(struct io_input *input, size_t capacity)
{
    CELLAR_ASSERT(capacity >= input->kept.bytes && capacity > 0);
    uint8_t *data = cellar_mem_realloc(input->kept.data, capacity);
    if (data == NULL) {
        return CELLAR_NO_MEMORY;
    }
    input->kept.data = data;
    input->kept.capacity = capacity;
    return CELLAR_OK;
}

enum cellar_status io_input_grow(struct io_input *input, size_t bytes)
{
    CELLAR_ASSERT(input->budget != NULL);
    if (bytes <= input->kept.capacity) {
        return CELLAR_OK;
    }
    uint64_t more = charge_owed(bytes) - input->charged_bytes;
    if (more > 0 && !io_budget_try(input->budget, more)) {
        return CELLAR_RESOURCE_EXHAUSTED;
    }
    input->charged_bytes += more;
    enum cellar_status status = set_capacity(input, bytes);
    settle_charge(input);
    CELLAR_ASSERT(input->charged_bytes == charge_owed(input->kept.capacity));
    return status;
}

enum cellar_status io_input_keep(struct io_input *input, struct cellar_slice bytes)
{
    CELLAR_ASSERT(input->budget != NULL);
    size_t needed = input->kept.bytes + bytes.bytes;
    if (bytes.bytes == 0) {
        return CELLAR_OK;
    }
    if (needed > input->kept.capacity) {
        CELLAR_TRY(set_capacity(input, needed));
        settle_charge(input);
    }
    memcpy(input->kept.data + input->kept.bytes, bytes.data, bytes.bytes);
    input->kept.bytes = needed;
    return CELLAR_OK;
}

void io_input_consume(struct io_input *input, size_t bytes)
{
    CELLAR_ASSERT(bytes <= input->kept.bytes);
    cellar_buffer_consume(&input->kept, bytes);
    size_t needed = CELLAR_MAX(input->kept.bytes, input->want);
    if (input->kept.bytes == 0) {
        io_input_clear(input);
    } else if (needed <= IO_INPUT_FREE_BYTES && input->kept.capacity > IO_INPUT_FREE_BYTES) {
        /* Shrinking does not fail for want of memory; if it does, the larger block stays. */
        (void)(set_capacity(input, IO_INPUT_FREE_BYTES) == CELLAR_OK);
        settle_charge(input);
    }
}

void io_input_clear(struct io_input *input)
{
    cellar_buffer_fini(&input->kept);
    settle_charge(input);
    CELLAR_ASSERT(input->charged_bytes == 0);
}
