/*
 * The model test: random requests to the service in the process, every answer compared with a plain
 * model (tests/support/model_workload.c), under settings that make checkpoints, log segments and
 * restarts meet as often as they can.
 *
 * A failure prints the seed; CELLAR_TEST_SEED repeats the requests, though not the moments at which
 * checkpoints ran. CELLAR_TEST_SCALE (percent) makes runs longer.
 */
#include "common/clock.h"
#include "tests/support/model_service.h"
#include "tests/support/model_workload.h"

/* Some values are files of their own, and where segments are small some whole mutations. */
#define LARGE_VALUE_BYTES_MAX (CELLAR_INLINE_VALUE_BYTES_MAX + 100000u)
#define RUNS 4u /* tables of different shape in one service */

static void run_beside(const char *name, const struct svc_options *service_options,
                       const struct model_workload_options *workload, bool has_compactor)
{
    struct model_service service;
    struct test_random seeds = {test_seed(name)};
    model_clock_start();
    model_service_open(&service, service_options);
    if (has_compactor) {
        model_service_compact(&service);
    }
    for (unsigned i = 0; i < RUNS; i++) {
        static const char *const tables[RUNS] = {"t0", "t1", "t2", "t3"};
        struct model_workload_options options = *workload;
        options.name = tables[i];
        options.seed = i == 0 ? seeds.state : test_random_next(&seeds);
        options.step_count = model_steps(workload->step_count) / RUNS;
        model_workload_run(&service.port, &options);
    }
    model_service_close(&service);
    cellar_clock_fake_off();
    if (has_compactor) {
        assert_true(atomic_load(&service.compactor.done_count) > 0);
    }
}

static void run(const char *name, const struct svc_options *service_options,
                const struct model_workload_options *workload)
{
    run_beside(name, service_options, workload, false);
}

static void answers_equal_the_model_with_default_settings(void **state)
{
    (void)state;
    struct svc_options options;
    model_service_options_init(&options);
    options.log_segment_bytes = UINT64_C(64) << 20;
    run("model, defaults", &options,
        &(struct model_workload_options){.step_count = 500,
                                         .record_bytes_max = 5000000,
                                         .value_bytes_max = LARGE_VALUE_BYTES_MAX,
                                         .wide_columns_max = 2000,
                                         .restart_step_count = 80,
                                         .change_step_count = 10});
}

static void answers_equal_the_model_with_a_checkpoint_every_50_records(void **state)
{
    (void)state;
    struct svc_options options;
    model_service_options_init(&options);
    options.checkpoint_records_max = 50;
    run("model, checkpoints", &options,
        &(struct model_workload_options){.step_count = 1000,
                                         .record_bytes_max = 1800000,
                                         .value_bytes_max = LARGE_VALUE_BYTES_MAX,
                                         .wide_columns_max = 2000,
                                         .restart_step_count = 70,
                                         .change_step_count = 12,
                                         .has_crashes = true});
}

static void answers_equal_the_model_with_tiny_log_segments(void **state)
{
    (void)state;
    struct svc_options options;
    model_service_options_init(&options);
    options.log_segment_bytes = 65536;
    options.log_unapplied_bytes_max = 4 * 65536;
    run("model, tiny segments", &options,
        &(struct model_workload_options){.step_count = 1800,
                                         .record_bytes_max = 40000,
                                         .value_bytes_max = 20000,
                                         .wide_columns_max = 150,
                                         .restart_step_count = 120,
                                         .change_step_count = 10,
                                         .has_crashes = true});
}

static void answers_equal_the_model_with_a_checkpoint_after_each_record(void **state)
{
    (void)state;
    struct svc_options options;
    model_service_options_init(&options);
    options.checkpoint_records_max = 1;
    options.log_segment_bytes = 1u << 20;
    run("model, each record", &options,
        &(struct model_workload_options){.step_count = 700,
                                         .record_bytes_max = 400000,
                                         .value_bytes_max = 200000,
                                         .wide_columns_max = 1200,
                                         .restart_step_count = 60,
                                         .change_step_count = 8,
                                         .has_crashes = true});
}

static void answers_equal_the_model_beside_compactions(void **state)
{
    (void)state;
    struct svc_options options;
    model_service_options_init(&options);
    options.checkpoint_records_max = 20;
    options.log_segment_bytes = 1u << 20;
    run_beside("model, compactions", &options,
               &(struct model_workload_options){.step_count = 1000,
                                                .record_bytes_max = 400000,
                                                .value_bytes_max = 200000,
                                                .wide_columns_max = 1200,
                                                .restart_step_count = 60,
                                                .change_step_count = 8,
                                                .has_crashes = true},
               true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_equal_the_model_with_default_settings),
        cmocka_unit_test(answers_equal_the_model_with_a_checkpoint_every_50_records),
        cmocka_unit_test(answers_equal_the_model_with_tiny_log_segments),
        cmocka_unit_test(answers_equal_the_model_with_a_checkpoint_after_each_record),
        cmocka_unit_test(answers_equal_the_model_beside_compactions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
