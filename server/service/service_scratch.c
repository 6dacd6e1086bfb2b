/*
 * What a thread that submits requests keeps from one to the next, so that a request costs few
 * allocations. It is freed when the thread ends.
 *
 * A thread's scratch belongs to that thread alone; what is in it is void with the next request.
 */
#include <pthread.h>

#include "common/sync.h"
#include "server/service/service_internal.h"

#define PAYLOAD_BYTES_KEPT 262144u

static struct cellar_once scratch_once = CELLAR_ONCE_INIT;
static pthread_key_t scratch_key;

static void scratch_free(void *context)
{
    struct svc_scratch *scratch = context;
    cellar_arena_fini(&scratch->arena);
    cellar_buffer_fini(&scratch->payload);
    store_slab_fini(&scratch->slab);
    svc_reads_free(scratch->spare_reads);
    CELLAR_ASSERT(scratch->payload.data == NULL);
    cellar_mem_free(scratch);
}

static void scratch_key_make(void)
{
    int result = pthread_key_create(&scratch_key, scratch_free);
    CELLAR_ASSERT(result == 0);
}

struct svc_scratch *svc_scratch_get(void)
{
    cellar_once_run(&scratch_once, scratch_key_make);
    struct svc_scratch *scratch = pthread_getspecific(scratch_key);
    CELLAR_ASSERT(scratch == NULL || scratch->payload.bytes <= scratch->payload.capacity);
    if (scratch == NULL) {
        scratch = cellar_mem_zalloc(1, sizeof *scratch);
        if (scratch != NULL && pthread_setspecific(scratch_key, scratch) != 0) {
            cellar_mem_free(scratch);
            scratch = NULL;
        }
    }
    return scratch;
}

void svc_scratch_clear_payload(struct svc_scratch *scratch)
{
    if (scratch->payload.capacity > PAYLOAD_BYTES_KEPT) {
        cellar_buffer_fini(&scratch->payload);
    }
    cellar_buffer_clear(&scratch->payload);
    CELLAR_ASSERT(scratch->payload.bytes == 0);
}

void svc_scratch_clear(struct svc_scratch *scratch)
{
    cellar_arena_reset(&scratch->arena);
    svc_scratch_clear_payload(scratch);
    CELLAR_ASSERT(scratch->payload.bytes == 0);
}
