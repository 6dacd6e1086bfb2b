/*
 * data_dir: first starts, cut short and whole; the lock; versions; folders of generations; who may
 * look into what an engine makes in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/storage/data_dir.h"
#include "server/storage/engine.h"
#include "tests/support/disk.h"
#include "tests/support/store_fixture.h"

static void parent_make(char *parent, char *path)
{
    test_disk_fast(true);
    test_temp_dir(parent, 256);
    (void)snprintf(path, 300, "%s/data", parent);
}

static void path_of(const char *path, const char *name, char *to)
{
    assert_true(snprintf(to, PATH_MAX, "%s/%s", path, name) < PATH_MAX);
}

static bool is_there(const char *path, const char *name)
{
    char whole[PATH_MAX];
    struct stat facts;
    path_of(path, name, whole);
    return stat(whole, &facts) == 0;
}

static void file_put(const char *path, const char *name, const char *text)
{
    char whole[PATH_MAX];
    path_of(path, name, whole);
    int descriptor = open(whole, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, text, strlen(text)), strlen(text));
    (void)close(descriptor);
}

static void open_gives(const char *path, enum cellar_status status)
{
    struct store_data_dir dir;
    struct cellar_error error;
    cellar_error_clear(&error);
    assert_int_equal(store_data_dir_open(path, &dir, &error), status);
    assert_int_equal(dir.lock_descriptor, -1);
    assert_true(error.text[0] != '\0');
}

/* ---- first starts ---------------------------------------------------------------------------- */

static void new_directory_becomes_one_at_the_commit(void **state)
{
    (void)state;
    char parent[256];
    char path[300];
    struct store_data_dir dir;
    parent_make(parent, path);
    assert_int_equal(store_data_dir_open(path, &dir, NULL), CELLAR_OK);
    assert_true(dir.is_new);
    assert_true(is_there(path, "FORMAT.new") && is_there(path, "log") && is_there(path, "stores"));
    assert_false(is_there(path, "FORMAT"));
    assert_int_equal(store_data_dir_commit(&dir, NULL), CELLAR_OK);
    assert_false(dir.is_new);
    assert_true(is_there(path, "FORMAT"));
    assert_false(is_there(path, "FORMAT.new"));
    store_data_dir_close(&dir);
    assert_int_equal(store_data_dir_open(path, &dir, NULL), CELLAR_OK);
    assert_false(dir.is_new);
    store_data_dir_close(&dir);
    store_data_dir_close(&dir); /* again is fine */
    test_remove_tree(parent);
}

static void first_start_cut_short_begins_again(void **state)
{
    (void)state;
    char parent[256];
    char path[300];
    char inner[PATH_MAX];
    struct store_data_dir dir;
    parent_make(parent, path);
    assert_int_equal(store_data_dir_open(path, &dir, NULL), CELLAR_OK);
    file_put(path, "log/00000001.log", "half made");
    path_of(path, "stores/0", inner);
    assert_int_equal(mkdir(inner, 0700), 0);
    path_of(path, "stores/0/1", inner);
    assert_int_equal(mkdir(inner, 0700), 0);
    file_put(path, "stores/0/1/data.mdb", "half made");
    store_data_dir_close(&dir);
    assert_int_equal(store_data_dir_open(path, &dir, NULL), CELLAR_OK);
    assert_true(dir.is_new);
    assert_false(is_there(path, "log/00000001.log"));
    assert_false(is_there(path, "stores/0"));
    store_data_dir_close(&dir);
    test_remove_tree(parent);
}

/* A name may be on the disk before what is in the file. */
static void a_first_start_that_left_an_empty_file_ends_whole(void **state)
{
    (void)state;
    char parent[256];
    char path[300];
    struct store_data_dir dir;
    struct cellar_error error;
    parent_make(parent, path);
    assert_int_equal(mkdir(path, 0700), 0);
    file_put(path, "FORMAT.new", "");
    assert_int_equal(store_data_dir_open(path, &dir, &error), CELLAR_OK);
    assert_true(dir.is_new);
    assert_int_equal(store_data_dir_commit(&dir, &error), CELLAR_OK);
    store_data_dir_close(&dir);
    assert_int_equal(store_data_dir_open(path, &dir, &error), CELLAR_OK);
    assert_false(dir.is_new);
    store_data_dir_close(&dir);
    test_remove_tree(parent);
}

static void first_start_may_fail_at_any_sync(void **state)
{
    (void)state;
    char parent[256];
    char path[300];
    parent_make(parent, path);
    bool is_done = false;
    for (int64_t good = 0; !is_done; good++) {
        struct store_data_dir dir;
        struct cellar_error error;
        cellar_error_clear(&error);
        assert_true(good < 20);
        test_disk_fail_syncs(good, EIO);
        enum cellar_status status = store_data_dir_open(path, &dir, &error);
        status = status == CELLAR_OK ? store_data_dir_commit(&dir, &error) : status;
        test_disk_fail_syncs(-1, 0);
        is_done = status == CELLAR_OK;
        assert_true(is_done || (status == CELLAR_IO_ERROR && error.text[0] != '\0'));
        store_data_dir_close(&dir);
        if (!is_done && is_there(path, "FORMAT")) {
            break; /* the commit's own sync failed: the next start finds a whole directory */
        }
    }
    struct store_data_dir dir;
    assert_int_equal(store_data_dir_open(path, &dir, NULL), CELLAR_OK);
    store_data_dir_close(&dir);
    test_remove_tree(parent);
}

/* ---- refused --------------------------------------------------------------------------------- */

static void what_is_not_ours_is_refused_and_left_alone(void **state)
{
    (void)state;
    char parent[256];
    char path[300];
    parent_make(parent, path);
    file_put(parent, "file", "text");
    char file[PATH_MAX];
    path_of(parent, "file", file);
    open_gives(file, CELLAR_FAILED_PRECONDITION);
    assert_int_equal(mkdir(path, 0700), 0);
    file_put(path, "somebody's", "text");
    open_gives(path, CELLAR_FAILED_PRECONDITION);
    assert_true(is_there(path, "somebody's"));
    assert_false(is_there(path, "log"));
    open_gives("", CELLAR_INVALID_ARGUMENT);
    static char long_path[PATH_MAX];
    memset(long_path, 'x', sizeof long_path - 1);
    open_gives(long_path, CELLAR_INVALID_ARGUMENT);
    path_of(parent, "none/deeper", file);
    open_gives(file, CELLAR_IO_ERROR);
    test_remove_tree(parent);
}

static void empty_directory_and_lost_found_are_fine(void **state)
{
    (void)state;
    char parent[256];
    char path[300];
    char inner[PATH_MAX];
    struct store_data_dir dir;
    parent_make(parent, path);
    assert_int_equal(mkdir(path, 0700), 0);
    path_of(path, "lost+found", inner);
    assert_int_equal(mkdir(inner, 0700), 0);
    assert_int_equal(store_data_dir_open(path, &dir, NULL), CELLAR_OK);
    assert_true(dir.is_new);
    store_data_dir_close(&dir);
    test_remove_tree(parent);
}

static void another_version_is_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {"cellar data directory, format 2\n",
                                        "cellar data directory, format 1",
                                        "cellar data directory, format 1\nmore\n", "", "\n"};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(lines); i++) {
        char parent[256];
        char path[300];
        struct store_data_dir dir;
        parent_make(parent, path);
        assert_int_equal(store_data_dir_open(path, &dir, NULL), CELLAR_OK);
        assert_int_equal(store_data_dir_commit(&dir, NULL), CELLAR_OK);
        store_data_dir_close(&dir);
        file_put(path, "FORMAT", lines[i]);
        open_gives(path, CELLAR_FAILED_PRECONDITION);
        assert_true(is_there(path, "log"));
        test_remove_tree(parent);
    }
}

static void directory_in_use_is_refused(void **state)
{
    (void)state;
    char parent[256];
    char path[300];
    struct store_data_dir dir;
    parent_make(parent, path);
    assert_int_equal(store_data_dir_open(path, &dir, NULL), CELLAR_OK);
    open_gives(path, CELLAR_FAILED_PRECONDITION); /* a lock of its own descriptor */
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct store_data_dir other;
        _exit((int)store_data_dir_open(path, &other, NULL));
    }
    int result = 0;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), CELLAR_FAILED_PRECONDITION);
    store_data_dir_close(&dir);
    assert_int_equal(store_data_dir_open(path, &dir, NULL), CELLAR_OK);
    store_data_dir_close(&dir);
    test_remove_tree(parent);
}

/* ---- stores ---------------------------------------------------------------------------------- */

struct visits {
    char text[256];
    enum cellar_status status;
};

static enum cellar_status visit_note(void *context, uint32_t store_id, uint64_t generation)
{
    struct visits *visits = context;
    size_t used = strlen(visits->text);
    (void)snprintf(visits->text + used, sizeof visits->text - used, "%u/%llu ", store_id,
                   (unsigned long long)generation);
    return visits->status;
}

static void generations_are_found(void **state)
{
    (void)state;
    char parent[256];
    char path[300];
    char inner[PATH_MAX];
    struct store_data_dir dir;
    struct visits visits = {.status = CELLAR_OK};
    parent_make(parent, path);
    assert_int_equal(store_data_dir_open(path, &dir, NULL), CELLAR_OK);
    store_data_dir_generation(&dir, 12, 34, inner);
    assert_non_null(strstr(inner, "/data/stores/12/34"));
    assert_int_equal(store_data_dir_walk(&dir, visit_note, &visits, NULL), CELLAR_OK);
    assert_string_equal(visits.text, "");
    assert_int_equal(store_data_dir_store_make(&dir, 12, NULL), CELLAR_OK);
    assert_int_equal(store_data_dir_store_make(&dir, 12, NULL), CELLAR_OK);
    assert_int_equal(store_data_dir_walk(&dir, visit_note, &visits, NULL), CELLAR_OK);
    assert_string_equal(visits.text, "12/0 "); /* a store without a generation */
    assert_int_equal(mkdir(inner, 0700), 0);
    file_put(path, "stores/notes", "text");
    file_put(path, "stores/12/notes", "text");
    path_of(path, "stores/x1", inner);
    assert_int_equal(mkdir(inner, 0700), 0);
    path_of(path, "stores/99999999999", inner); /* no store id */
    assert_int_equal(mkdir(inner, 0700), 0);
    visits.text[0] = '\0';
    assert_int_equal(store_data_dir_walk(&dir, visit_note, &visits, NULL), CELLAR_OK);
    assert_string_equal(visits.text, "12/34 ");
    visits.status = CELLAR_CANCELLED;
    assert_int_equal(store_data_dir_walk(&dir, visit_note, &visits, NULL), CELLAR_CANCELLED);
    assert_int_equal(store_data_dir_store_remove(&dir, 12, NULL), CELLAR_OK);
    assert_false(is_there(path, "stores/12"));
    assert_int_equal(store_data_dir_store_remove(&dir, 12, NULL), CELLAR_OK);
    store_data_dir_close(&dir);
    test_remove_tree(parent);
}

/* ---- inspecting ------------------------------------------------------------------------------ */

/* Inspects, expecting a status; on success the kind and whether there is a lock file. */
static void inspect_gives(const char *path, enum cellar_status status,
                          enum store_data_dir_kind kind, bool has_lock)
{
    struct store_data_dir dir;
    struct cellar_error error;
    enum store_data_dir_kind got_kind = STORE_DATA_DIR_WHOLE;
    bool got_lock = false;
    cellar_error_clear(&error);
    assert_int_equal(store_data_dir_inspect(path, &dir, &got_kind, &got_lock, &error), status);
    if (status != CELLAR_OK) {
        assert_int_equal(dir.lock_descriptor, -1);
        assert_true(error.text[0] != '\0');
        return;
    }
    assert_int_equal(got_kind, kind);
    assert_int_equal(got_lock, has_lock);
    assert_int_equal(dir.lock_descriptor >= 0, has_lock);
    store_data_dir_close(&dir);
}

static void inspecting_makes_nothing_and_keeps_servers_out(void **state)
{
    (void)state;
    char parent[256];
    char path[300];
    struct store_data_dir dir;
    struct store_data_dir other;
    enum store_data_dir_kind kind;
    bool has_lock = false;
    parent_make(parent, path);
    inspect_gives(path, CELLAR_IO_ERROR, 0, false);
    assert_false(is_there(parent, "data"));
    inspect_gives(parent, CELLAR_FAILED_PRECONDITION, 0, false);
    assert_false(is_there(parent, "LOCK"));
    assert_int_equal(store_data_dir_open(path, &dir, NULL), CELLAR_OK);
    inspect_gives(path, CELLAR_FAILED_PRECONDITION, 0, false); /* in use */
    store_data_dir_close(&dir);
    inspect_gives(path, CELLAR_OK, STORE_DATA_DIR_UNFINISHED, true);
    assert_int_equal(store_data_dir_open(path, &dir, NULL), CELLAR_OK);
    assert_int_equal(store_data_dir_commit(&dir, NULL), CELLAR_OK);
    store_data_dir_close(&dir);
    assert_int_equal(store_data_dir_inspect(path, &dir, &kind, &has_lock, NULL), CELLAR_OK);
    assert_int_equal(kind, STORE_DATA_DIR_WHOLE);
    assert_int_equal(store_data_dir_open(path, &other, NULL), CELLAR_FAILED_PRECONDITION);
    store_data_dir_close(&dir);
    inspect_gives("", CELLAR_INVALID_ARGUMENT, 0, false);
    test_remove_tree(parent);
}

static void inspecting_tells_damage_from_another_version(void **state)
{
    (void)state;
    char parent[256];
    char path[300];
    char whole[PATH_MAX];
    struct store_data_dir dir;
    parent_make(parent, path);
    assert_int_equal(store_data_dir_open(path, &dir, NULL), CELLAR_OK);
    assert_int_equal(store_data_dir_commit(&dir, NULL), CELLAR_OK);
    store_data_dir_close(&dir);
    file_put(path, "FORMAT", "cellar data directory, format 27\n");
    inspect_gives(path, CELLAR_FAILED_PRECONDITION, 0, false);
    file_put(path, "FORMAT", "cellar data directory, format 1");
    inspect_gives(path, CELLAR_OK, STORE_DATA_DIR_DAMAGED, true);
    file_put(path, "FORMAT", "cellar data dirEctory, format 1\n");
    inspect_gives(path, CELLAR_OK, STORE_DATA_DIR_DAMAGED, true);
    file_put(path, "FORMAT", "");
    inspect_gives(path, CELLAR_OK, STORE_DATA_DIR_DAMAGED, true);
    path_of(path, "FORMAT", whole);
    assert_int_equal(unlink(whole), 0);
    inspect_gives(path, CELLAR_OK, STORE_DATA_DIR_DAMAGED, true);
    path_of(path, "LOCK", whole);
    assert_int_equal(unlink(whole), 0);
    inspect_gives(path, CELLAR_OK, STORE_DATA_DIR_DAMAGED, false);
    assert_false(is_there(path, "LOCK"));
    test_remove_tree(parent);
}

/* ---- modes ----------------------------------------------------------------------------------- */

/* nftw(3) passes no context; counts what it has seen in this. */
static unsigned seen_count;

static int mode_visit(const char *path, const struct stat *facts, int kind, struct FTW *at)
{
    (void)at;
    mode_t expected = kind == FTW_D ? 0700 : 0600;
    if ((facts->st_mode & 07777) != expected) {
        fail_msg("%s has mode %o, not %o", path, facts->st_mode & 07777, expected);
    }
    seen_count++;
    return 0;
}

/* An engine at work in the directory, with a store beside the catalog's. */
static struct store_engine *engine_begin(const char *path)
{
    const struct store_engine_options options = {.data_dir = path,
                                                 .memory_bytes_max = UINT64_C(64) << 20,
                                                 .memtable_bytes_max = 65536,
                                                 .unapplied_bytes_max = UINT64_C(16) << 20,
                                                 .unapplied_records_max = 1000,
                                                 .store_tokens_max = 1,
                                                 .segment_bytes = 1u << 20,
                                                 .map_bytes = TEST_MAP_BYTES};
    struct store_engine *engine = NULL;
    struct store *store = NULL;
    assert_int_equal(store_engine_open(&options, &engine, NULL), CELLAR_OK);
    assert_int_equal(store_engine_start(engine, NULL), CELLAR_OK);
    assert_int_equal(store_engine_store_make(engine, 9, &store, NULL), CELLAR_OK);
    return engine;
}

static void only_the_servers_user_may_look_into_what_it_makes(void **state)
{
    (void)state;
    char parent[256];
    char path[300];
    mode_t mask = umask(0);
    parent_make(parent, path);
    struct store_engine *engine = engine_begin(path);
    seen_count = 0;
    assert_int_equal(nftw(path, mode_visit, 16, FTW_PHYS), 0);
    /* itself, log, stores; a segment, FORMAT, LOCK; of two stores: ID, GENERATION, two files */
    assert_true(seen_count >= 14);
    store_engine_close(engine);
    (void)umask(mask);
    test_remove_tree(parent);
}

static void a_directory_that_was_there_keeps_its_mode(void **state)
{
    (void)state;
    char parent[256];
    char path[300];
    struct stat facts;
    parent_make(parent, path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 01777), 0); /* as a container's volume has it */
    store_engine_close(engine_begin(path));
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 01777);
    test_remove_tree(parent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_directory_becomes_one_at_the_commit),
        cmocka_unit_test(first_start_cut_short_begins_again),
        cmocka_unit_test(a_first_start_that_left_an_empty_file_ends_whole),
        cmocka_unit_test(first_start_may_fail_at_any_sync),
        cmocka_unit_test(what_is_not_ours_is_refused_and_left_alone),
        cmocka_unit_test(empty_directory_and_lost_found_are_fine),
        cmocka_unit_test(another_version_is_refused),
        cmocka_unit_test(directory_in_use_is_refused),
        cmocka_unit_test(generations_are_found),
        cmocka_unit_test(inspecting_makes_nothing_and_keeps_servers_out),
        cmocka_unit_test(inspecting_tells_damage_from_another_version),
        cmocka_unit_test(only_the_servers_user_may_look_into_what_it_makes),
        cmocka_unit_test(a_directory_that_was_there_keeps_its_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
