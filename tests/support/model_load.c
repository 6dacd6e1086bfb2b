/*
 * The table that tests of bulk loads load.
 */
#include "tests/support/model_service.h"
#include "tests/support/support.h"

void model_svc_load_table_make(struct svc *svc, const char *split)
{
    const struct svc_family families[] = {
        {.name = cellar_slice_text("f"), .rule = {.kind = CELLAR_GC_VERSIONS, .amount = 1}},
        {.name = cellar_slice_text("g")}};
    const struct cellar_slice split_key = cellar_slice_text(split);
    const struct svc_table table = {.name = cellar_slice_text("t"),
                                    .families = families,
                                    .family_count = 2,
                                    .split_keys = &split_key,
                                    .split_key_count = 1};
    struct svc_table made;
    struct cellar_arena arena = {0};
    assert_int_equal(svc_create_table(svc, NULL, &table, &arena, &made, NULL), CELLAR_OK);
    cellar_arena_fini(&arena);
}
