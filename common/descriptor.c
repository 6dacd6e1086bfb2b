/*
 * The limit is asked for each time: it costs one cheap call beside the opening of a file, and
 * prlimit(2) may change it while the process runs.
 */
#include "common/descriptor.h"

#include <sys/resource.h>

#include "common/base.h"

uint64_t cellar_descriptor_count_max(void)
{
    struct rlimit limit;
    bool is_known = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    CELLAR_ASSERT(!is_known || limit.rlim_cur > 0);
    return is_known ? (uint64_t)limit.rlim_cur : UINT64_MAX;
}

bool cellar_descriptor_is_reserved(int descriptor, unsigned share, unsigned count_max)
{
    uint64_t limit = cellar_descriptor_count_max();
    CELLAR_ASSERT(descriptor >= 0 && share > 0);
    return (uint64_t)descriptor >= limit - CELLAR_MIN(limit / share, (uint64_t)count_max);
}
