/*
 * A counter with a bound; budget.h says what it is for.
 *
 * The count is one atomic number. Taking is a compare-and-swap loop, so that two threads never take
 * the last bytes together; giving back is one subtraction. The order of other memory does not hang
 * on it, so every access is relaxed. Nobody is woken when bytes come back: the few connections that
 * wait ask again on a timer of their loop, which keeps this free of locks and of lists that cross
 * threads.
 */
#include "server/io/budget.h"

void io_budget_init(struct io_budget *budget, uint64_t bytes_max)
{
    CELLAR_ASSERT(budget != NULL);
    CELLAR_ASSERT(bytes_max > 0);
    atomic_init(&budget->bytes, 0);
    atomic_init(&budget->bytes_max, bytes_max);
}

void io_budget_limit_set(struct io_budget *budget, uint64_t bytes_max)
{
    CELLAR_ASSERT(bytes_max > 0);
    atomic_store_explicit(&budget->bytes_max, bytes_max, memory_order_relaxed);
}

uint64_t io_budget_limit(const struct io_budget *budget)
{
    CELLAR_ASSERT(budget != NULL);
    return atomic_load_explicit(&budget->bytes_max, memory_order_relaxed);
}

bool io_budget_try(struct io_budget *budget, uint64_t bytes)
{
    uint64_t bytes_max = io_budget_limit(budget);
    CELLAR_ASSERT(bytes_max > 0);
    uint64_t taken = atomic_load_explicit(&budget->bytes, memory_order_relaxed);
    do {
        if (taken >= bytes_max || bytes > bytes_max - taken) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&budget->bytes, &taken, taken + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

void io_budget_charge(struct io_budget *budget, uint64_t bytes)
{
    uint64_t before = atomic_fetch_add_explicit(&budget->bytes, bytes, memory_order_relaxed);
    CELLAR_ASSERT(before + bytes >= before);
}

void io_budget_give(struct io_budget *budget, uint64_t bytes)
{
    uint64_t before = atomic_fetch_sub_explicit(&budget->bytes, bytes, memory_order_relaxed);
    CELLAR_ASSERT(before >= bytes);
}

uint64_t io_budget_bytes(struct io_budget *budget)
{
    CELLAR_ASSERT(io_budget_limit(budget) > 0);
    return atomic_load_explicit(&budget->bytes, memory_order_relaxed);
}

bool io_budget_is_spent(struct io_budget *budget)
{
    return io_budget_bytes(budget) >= io_budget_limit(budget);
}
