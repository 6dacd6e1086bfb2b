/*
 * map_guard: faults in known maps end guarded work and nothing else. What must end the process does
 * so in a child.
 */
#include "server/storage/map_guard.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/support.h"

#define PAGE 4096u
#define PAGES 8u

/* A file of one page, mapped as if it had eight: reading behind the first is a SIGBUS. */
struct cut_file {
    struct store_map map;
    const volatile uint8_t *data;
};

static void cut_file_make(struct cut_file *file, bool is_known)
{
    char directory[256];
    char path[300];
    *file = (struct cut_file){.map = {.name = "the file"}};
    test_temp_dir(directory, sizeof directory);
    (void)snprintf(path, sizeof path, "%s/file", directory);
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(descriptor >= 0);
    assert_int_equal(ftruncate(descriptor, PAGE), 0);
    file->data = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ, MAP_SHARED, descriptor, 0);
    assert_ptr_not_equal(file->data, MAP_FAILED);
    (void)close(descriptor);
    test_remove_tree(directory);
    store_map_guard_install(); /* cmocka has put handlers of its own for this test */
    if (is_known) {
        assert_true(store_map_add(&file->map, (uintptr_t)file->data, (size_t)PAGES * PAGE));
    }
}

static void cut_file_free(struct cut_file *file)
{
    store_map_remove(&file->map);
    assert_int_equal(munmap((void *)(uintptr_t)file->data, (size_t)PAGES * PAGE), 0);
}

/* Reads one byte of a file, and notes that it came behind it. */
struct read {
    struct cut_file *file;
    size_t offset;
    bool is_behind;
    enum cellar_status inner;
};

static enum cellar_status read_run(void *context)
{
    struct read *read = context;
    read->is_behind = false;
    uint8_t byte = read->file->data[read->offset];
    read->is_behind = true;
    return byte == 0 ? CELLAR_OK : CELLAR_ABORTED;
}

static void sound_pages_are_read_and_the_status_passes(void **state)
{
    (void)state;
    struct cut_file file;
    cut_file_make(&file, true);
    struct read read = {.file = &file, .offset = 100};
    assert_int_equal(store_map_guard(read_run, &read), CELLAR_OK);
    assert_true(read.is_behind);
    assert_false(file.map.is_damaged);
    cut_file_free(&file);
}

static void fault_ends_the_work_as_often_as_it_comes(void **state)
{
    (void)state;
    struct cut_file file;
    struct cut_file other;
    cut_file_make(&file, true);
    cut_file_make(&other, true);
    struct read read = {.file = &file, .offset = PAGE};
    for (unsigned i = 0; i < 100; i++) { /* the signal is not left blocked */
        assert_int_equal(store_map_guard(read_run, &read), CELLAR_DATA_LOSS);
        assert_false(read.is_behind);
    }
    assert_true(file.map.is_damaged);
    assert_false(other.map.is_damaged);
    read = (struct read){.file = &other, .offset = 1};
    assert_int_equal(store_map_guard(read_run, &read), CELLAR_OK);
    cut_file_free(&file);
    cut_file_free(&other);
}

static enum cellar_status nested_run(void *context)
{
    struct read *read = context;
    read->inner = store_map_guard(read_run, read);
    read->is_behind = true;
    return read->inner == CELLAR_DATA_LOSS ? CELLAR_OK : CELLAR_ABORTED;
}

static void fault_ends_the_innermost_guard(void **state)
{
    (void)state;
    struct cut_file file;
    cut_file_make(&file, true);
    struct read read = {.file = &file, .offset = 3 * PAGE};
    assert_int_equal(store_map_guard(nested_run, &read), CELLAR_OK);
    assert_true(read.is_behind);
    assert_int_equal(read.inner, CELLAR_DATA_LOSS);
    assert_int_equal(store_map_guard(read_run, &read), CELLAR_DATA_LOSS);
    cut_file_free(&file);
}

/* Reads where no map is known, and near address 0. */
static enum cellar_status astray_run(void *context)
{
    struct read *read = context;
    const volatile uint8_t *at = read->file->data + read->offset;
    if (read->offset == 0) {
        at = (const volatile uint8_t *)(uintptr_t)8;
    }
    store_map_call_begin(&read->file->map);
    uint8_t byte = *at;
    store_map_call_end();
    return byte == 0 ? CELLAR_OK : CELLAR_ABORTED;
}

static void every_fault_of_a_library_at_work_is_damage(void **state)
{
    (void)state;
    struct cut_file file;
    cut_file_make(&file, false);
    for (size_t i = 0; i < 4; i++) {
        struct read read = {.file = &file, .offset = i % 2 * PAGE};
        file.map.is_damaged = false;
        assert_int_equal(store_map_guard(astray_run, &read), CELLAR_DATA_LOSS);
        assert_true(file.map.is_damaged);
        assert_null(store_map_followed);
    }
    cut_file_free(&file);
}

static enum cellar_status break_run(void *context)
{
    struct read *read = context;
    store_map_guard_break(&read->file->map, "a test");
    return CELLAR_ABORTED;
}

static void work_can_be_ended_from_inside(void **state)
{
    (void)state;
    struct cut_file file;
    cut_file_make(&file, true);
    struct read read = {.file = &file};
    store_map_guard_break(&file.map, "there is no guard");
    assert_false(file.map.is_damaged);
    assert_int_equal(store_map_guard(break_run, &read), CELLAR_DATA_LOSS);
    assert_true(file.map.is_damaged);
    cut_file_free(&file);
}

static void *thread_run(void *context)
{
    struct read *read = context;
    for (unsigned i = 0; i < 200; i++) {
        read->offset = i % 2 == 0 ? 5 : 2 * PAGE;
        enum cellar_status expected = i % 2 == 0 ? CELLAR_OK : CELLAR_DATA_LOSS;
        if (store_map_guard(read_run, read) != expected) {
            return NULL;
        }
    }
    return read;
}

static void threads_have_guards_of_their_own(void **state)
{
    (void)state;
    struct cut_file files[4];
    struct read reads[4];
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++) {
        cut_file_make(&files[i], true);
        reads[i] = (struct read){.file = &files[i]};
        assert_int_equal(pthread_create(&threads[i], NULL, thread_run, &reads[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, &reads[i]);
        cut_file_free(&files[i]);
    }
}

static void values_that_run_out_of_the_map_are_told(void **state)
{
    (void)state;
    struct cut_file file;
    cut_file_make(&file, true);
    const uint8_t *data = (const uint8_t *)(uintptr_t)file.data;
    assert_true(store_map_holds(&file.map, data, PAGES * PAGE));
    assert_false(store_map_holds(&file.map, data + 1, PAGES * PAGE));
    assert_false(store_map_holds(&file.map, data + 1, SIZE_MAX));
    assert_true(store_map_holds(&file.map, &file, SIZE_MAX)); /* memory of LMDB's own */
    cut_file_free(&file);
}

static void a_full_table_takes_no_more_until_one_goes(void **state)
{
    (void)state;
    static struct store_map maps[STORE_MAP_COUNT_MAX + 1];
    uintptr_t start = PAGE;
    for (size_t i = 0; i < STORE_MAP_COUNT_MAX; i++) {
        assert_true(store_map_add(&maps[i], start + i * PAGE, PAGE));
    }
    struct store_map *last = &maps[STORE_MAP_COUNT_MAX];
    assert_false(store_map_add(last, start, PAGE));
    store_map_remove(last); /* nothing */
    store_map_remove(&maps[17]);
    assert_true(store_map_add(last, start, PAGE));
    assert_int_equal(last->slot, 17);
    for (size_t i = 0; i <= STORE_MAP_COUNT_MAX; i++) {
        store_map_remove(&maps[i]);
    }
}

/* ---- what ends the process ------------------------------------------------------------------- */

/* @return the signal that ended a child that did this, 0 when none did */
static int child_signal(void (*act)(struct cut_file *file))
{
    struct cut_file file;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)signal(SIGBUS, SIG_DFL);
        (void)signal(SIGSEGV, SIG_DFL);
        cut_file_make(&file, true);
        act(&file);
        _exit(0);
    }
    int result = 0;
    assert_int_equal(waitpid(child, &result, 0), child);
    return WIFSIGNALED(result) ? WTERMSIG(result) : 0;
}

static void fault_unguarded(struct cut_file *file)
{
    struct read read = {.file = file, .offset = PAGE};
    (void)read_run(&read);
}

static void fault_elsewhere(struct cut_file *file)
{
    struct cut_file unknown;
    cut_file_make(&unknown, false);
    struct read read = {.file = &unknown, .offset = PAGE};
    store_map_remove(&file->map);
    _exit((int)store_map_guard(read_run, &read));
}

static enum cellar_status raise_run(void *context)
{
    (void)context;
    (void)raise(SIGSEGV);
    return CELLAR_OK;
}

static void signal_sent(struct cut_file *file)
{
    _exit((int)store_map_guard(raise_run, file));
}

static void other_faults_end_the_process_by_their_signal(void **state)
{
    (void)state;
    assert_int_equal(child_signal(fault_unguarded), SIGBUS);
    assert_int_equal(child_signal(fault_elsewhere), SIGBUS);
    assert_int_equal(child_signal(signal_sent), SIGSEGV);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_pages_are_read_and_the_status_passes),
        cmocka_unit_test(fault_ends_the_work_as_often_as_it_comes),
        cmocka_unit_test(fault_ends_the_innermost_guard),
        cmocka_unit_test(every_fault_of_a_library_at_work_is_damage),
        cmocka_unit_test(work_can_be_ended_from_inside),
        cmocka_unit_test(threads_have_guards_of_their_own),
        cmocka_unit_test(values_that_run_out_of_the_map_are_told),
        cmocka_unit_test(a_full_table_takes_no_more_until_one_goes),
        cmocka_unit_test(other_faults_end_the_process_by_their_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
