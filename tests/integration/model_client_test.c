/*
 * The model test through everything: client library, sockets, server, storage. The same random
 * requests as model_test, fewer of them; gets and scans at random, bursts by many threads at once.
 */
#include "common/clock.h"
#include "tests/support/loopback.h"
#include "tests/support/model_service.h"
#include "tests/support/model_workload.h"

#define RUNS 3u

static void run(const char *name, const struct svc_options *service_options,
                const struct model_workload_options *workload)
{
    struct loopback loopback;
    struct test_random seeds = {test_seed(name)};
    model_clock_start();
    loopback_open(&loopback, service_options);
    for (unsigned i = 0; i < RUNS; i++) {
        static const char *const tables[RUNS] = {"t0", "p/i/t1", "t2"};
        struct model_workload_options options = *workload;
        options.name = tables[i];
        options.seed = i == 0 ? seeds.state : test_random_next(&seeds);
        options.step_count = model_steps(workload->step_count) / RUNS;
        model_workload_run(&loopback.port, &options);
    }
    loopback_close(&loopback);
    cellar_clock_fake_off();
}

static void answers_equal_the_model_through_the_library(void **state)
{
    (void)state;
    struct svc_options options;
    model_service_options_init(&options);
    run("model, library", &options,
        &(struct model_workload_options){.step_count = 500,
                                         .record_bytes_max = 1800000,
                                         .value_bytes_max = CELLAR_INLINE_VALUE_BYTES_MAX,
                                         .wide_columns_max = 2000,
                                         .restart_step_count = 100,
                                         .change_step_count = 10});
}

static void
answers_equal_the_model_through_the_library_with_a_checkpoint_every_50_records(void **state)
{
    (void)state;
    struct svc_options options;
    model_service_options_init(&options);
    options.checkpoint_records_max = 50;
    run("model, library, checkpoints", &options,
        &(struct model_workload_options){.step_count = 900,
                                         .record_bytes_max = 200000,
                                         .value_bytes_max = 100000,
                                         .wide_columns_max = 1200,
                                         .restart_step_count = 100,
                                         .change_step_count = 12,
                                         .has_crashes = true});
}

static void answers_equal_the_model_through_the_library_with_tiny_log_segments(void **state)
{
    (void)state;
    struct svc_options options;
    model_service_options_init(&options);
    options.log_segment_bytes = 65536;
    options.log_unapplied_bytes_max = 4 * 65536;
    run("model, library, tiny segments", &options,
        &(struct model_workload_options){.step_count = 900,
                                         .record_bytes_max = 15000,
                                         .value_bytes_max = 12000,
                                         .wide_columns_max = 150,
                                         .restart_step_count = 100,
                                         .change_step_count = 8,
                                         .has_crashes = true});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_equal_the_model_through_the_library),
        cmocka_unit_test(
            answers_equal_the_model_through_the_library_with_a_checkpoint_every_50_records),
        cmocka_unit_test(answers_equal_the_model_through_the_library_with_tiny_log_segments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
