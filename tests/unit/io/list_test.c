/* Intrusive lists: order, removal from the middle and twice, and moving whole lists. */
#include "tests/support/support.h"

#include "server/io/list.h"

static void list_gives_links_in_the_order_of_appending(void **state)
{
    (void)state;
    struct io_list head;
    struct io_list links[3];
    io_list_init(&head);
    assert_true(io_list_is_empty(&head));
    assert_null(io_list_take(&head));
    for (size_t i = 0; i < 3; i++) {
        io_list_init(&links[i]);
        io_list_append(&head, &links[i]);
    }
    io_list_remove(&links[1]);
    io_list_remove(&links[1]);
    assert_ptr_equal(io_list_take(&head), &links[0]);
    assert_ptr_equal(io_list_take(&head), &links[2]);
    assert_null(io_list_take(&head));
}

static void list_moves_all_links_behind_those_that_are_there(void **state)
{
    (void)state;
    struct io_list to;
    struct io_list from;
    struct io_list links[4];
    io_list_init(&to);
    io_list_init(&from);
    io_list_move(&to, &from);
    assert_true(io_list_is_empty(&to));
    for (size_t i = 0; i < 4; i++) {
        io_list_init(&links[i]);
        io_list_append(i < 2 ? &to : &from, &links[i]);
    }
    io_list_move(&to, &from);
    assert_true(io_list_is_empty(&from));
    for (size_t i = 0; i < 4; i++) {
        assert_ptr_equal(io_list_take(&to), &links[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_gives_links_in_the_order_of_appending),
        cmocka_unit_test(list_moves_all_links_behind_those_that_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
