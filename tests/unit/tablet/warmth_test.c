/*
 * Warmth: tablets begin cold, are warm after some clean steps, cold again after a wait or without
 * reads, and ask for more clean steps each time that a loop has waited. The watch over a thread
 * sees faults of a file's pages that are not in memory.
 */
#include "tests/support/support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/tablet/warmth.h"

#define SECOND INT64_C(1000000)

/* Clean steps on a thread that may wait until the tablet is warm. */
static uint32_t steps_until_warm(struct tablet_warmth *warmth, int64_t now_us)
{
    uint32_t count = 0;
    while (tablet_warmth_is_cold(warmth, now_us)) {
        assert_false(tablet_warmth_note(warmth, now_us, true, false));
        count++;
    }
    return count;
}

static void tablet_begins_cold_and_is_warm_after_clean_steps(void **state)
{
    (void)state;
    struct tablet_warmth warmth;
    tablet_warmth_init(&warmth);
    assert_true(tablet_warmth_is_cold(&warmth, 0));
    assert_int_equal(steps_until_warm(&warmth, SECOND), TABLET_CLEAN_COUNT_MIN);
}

static void a_wait_begins_the_count_anew(void **state)
{
    (void)state;
    struct tablet_warmth warmth;
    tablet_warmth_init(&warmth);
    for (uint32_t i = 0; i < TABLET_CLEAN_COUNT_MIN - 1; i++) {
        (void)tablet_warmth_note(&warmth, SECOND, true, false);
    }
    assert_false(tablet_warmth_note(&warmth, SECOND, true, true));
    assert_int_equal(steps_until_warm(&warmth, SECOND), TABLET_CLEAN_COUNT_MIN);
}

static void tablet_without_reads_is_cold_again(void **state)
{
    (void)state;
    struct tablet_warmth warmth;
    tablet_warmth_init(&warmth);
    (void)steps_until_warm(&warmth, SECOND);
    assert_false(tablet_warmth_is_cold(&warmth, SECOND + TABLET_WARM_US - 1));
    assert_true(tablet_warmth_is_cold(&warmth, SECOND + TABLET_WARM_US));
    assert_int_equal(steps_until_warm(&warmth, SECOND + TABLET_WARM_US), 1);
}

static void each_stall_of_a_loop_doubles_what_is_asked_for(void **state)
{
    (void)state;
    struct tablet_warmth warmth;
    uint32_t asked = TABLET_CLEAN_COUNT_MIN;
    tablet_warmth_init(&warmth);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(steps_until_warm(&warmth, SECOND), asked);
        assert_true(tablet_warmth_note(&warmth, SECOND, false, true));
        asked = i == 0 ? asked : CELLAR_MIN(asked * 2, TABLET_CLEAN_COUNT_MAX);
    }
    assert_int_equal(asked, TABLET_CLEAN_COUNT_MAX);
    (void)steps_until_warm(&warmth, SECOND + TABLET_WARM_US);
    assert_true(tablet_warmth_note(&warmth, SECOND + TABLET_WARM_US, false, true));
    assert_int_equal(steps_until_warm(&warmth, SECOND + TABLET_WARM_US), TABLET_CLEAN_COUNT_MIN);
}

static void fast_step_of_a_loop_keeps_a_tablet_warm(void **state)
{
    (void)state;
    struct tablet_warmth warmth;
    struct tablet_watch watch;
    tablet_warmth_init(&warmth);
    (void)steps_until_warm(&warmth, SECOND);
    for (int64_t now_us = SECOND; now_us < 4 * TABLET_WARM_US; now_us += TABLET_WARM_US / 2) {
        assert_false(tablet_warmth_is_cold(&warmth, now_us));
        tablet_watch_begin(&watch, now_us, false);
        assert_false(tablet_watch_end(&watch, &warmth, now_us + 1, false));
    }
}

static void pages_asked_for_count_as_a_wait(void **state)
{
    (void)state;
    struct tablet_warmth warmth;
    struct tablet_watch watch;
    tablet_warmth_init(&warmth);
    (void)steps_until_warm(&warmth, SECOND);
    tablet_watch_begin(&watch, SECOND, true);
    assert_false(tablet_watch_end(&watch, &warmth, SECOND, true));
    assert_true(tablet_warmth_is_cold(&warmth, SECOND));
}

/* One page of a new file, mapped; not in memory where the file system lets go of it. */
struct page {
    char directory[256];
    const volatile unsigned char *byte;
    bool is_absent;
};

static void page_map(struct page *page)
{
    char path[300];
    unsigned char in_memory = 1;
    test_temp_dir(page->directory, sizeof page->directory);
    (void)snprintf(path, sizeof path, "%s/page", page->directory);
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, "7", 1), 1);
    assert_int_equal(fsync(descriptor), 0);
    assert_int_equal(posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED), 0);
    void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, descriptor, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(close(descriptor), 0);
    assert_int_equal(mincore(map, 4096, &in_memory), 0);
    page->byte = map;
    page->is_absent = (in_memory & 1) == 0;
}

static void page_unmap(struct page *page)
{
    assert_int_equal(munmap((void *)(uintptr_t)page->byte, 4096), 0);
    test_remove_tree(page->directory);
}

/* @return whether the watched thread has waited, with its tablet warm before */
static bool watch_page(bool may_wait, bool *is_cold, bool *is_absent)
{
    struct page page;
    struct tablet_warmth warmth;
    struct tablet_watch watch;
    tablet_warmth_init(&warmth);
    (void)steps_until_warm(&warmth, SECOND);
    page_map(&page);
    *is_absent = page.is_absent;
    tablet_watch_begin(&watch, SECOND, may_wait);
    assert_int_equal(page.byte[0], '7');
    bool has_stalled = tablet_watch_end(&watch, &warmth, SECOND + TABLET_SLOW_US, false);
    *is_cold = tablet_warmth_is_cold(&warmth, SECOND);
    page_unmap(&page);
    return has_stalled;
}

static void fault_of_an_absent_page_is_seen(void **state)
{
    (void)state;
    bool is_cold = false;
    bool is_absent = false;
    assert_false(watch_page(true, &is_cold, &is_absent));
    if (!is_absent) {
        skip(); /* a file system in memory */
    }
    assert_true(is_cold);
    (void)watch_page(false, &is_cold, &is_absent); /* its thread is looked at for the first time */
    assert_true(watch_page(false, &is_cold, &is_absent));
    assert_true(is_cold);
}

static void slow_step_without_a_fault_is_no_wait(void **state)
{
    (void)state;
    struct tablet_warmth warmth;
    struct tablet_watch watch;
    tablet_warmth_init(&warmth);
    (void)steps_until_warm(&warmth, SECOND);
    for (int i = 0; i < 3; i++) {
        tablet_watch_begin(&watch, SECOND, false);
        bool has_stalled = tablet_watch_end(&watch, &warmth, 2 * SECOND, false);
        assert_false(has_stalled && i > 0); /* the first look may find faults of before */
    }
    assert_int_equal(steps_until_warm(&warmth, 2 * SECOND), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tablet_begins_cold_and_is_warm_after_clean_steps),
        cmocka_unit_test(a_wait_begins_the_count_anew),
        cmocka_unit_test(tablet_without_reads_is_cold_again),
        cmocka_unit_test(each_stall_of_a_loop_doubles_what_is_asked_for),
        cmocka_unit_test(fast_step_of_a_loop_keeps_a_tablet_warm),
        cmocka_unit_test(pages_asked_for_count_as_a_wait),
        cmocka_unit_test(slow_step_without_a_fault_is_no_wait),
        cmocka_unit_test(fault_of_an_absent_page_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
