#ifndef CELLAR_TESTS_SUPPORT_MODEL_SERVICE_H
#define CELLAR_TESTS_SUPPORT_MODEL_SERVICE_H

#include "tests/support/compactor.h"
#include "tests/support/model_port.h"

/*
 * The service in the process as a port, and the pieces of it that tests use by themselves: lists of
 * mutations and row sets in wire form, writes that wait, reads into an answer, and copies of a data
 * directory that are what a killed server leaves.
 */

struct model_service {
    struct model_port port; /* first */
    struct svc *svc;
    struct svc_options options;
    char folder[256];   /* holds the data directories */
    char data_dir[300]; /* the one in use */
    unsigned copy_count;
    bool is_damaged; /* on purpose: the data is not checked at the close */
    bool has_compactor;
    struct test_compactor compactor;
};

/** Options for tests: small maps, small segments, defaults for the rest. `data_dir` is not set. */
void model_service_options_init(struct svc_options *options);

/**
 * Makes an empty folder, in memory where the machine has room for it: these tests are about
 * answers, not about the disk, and syncs there take no time. Removed with test_remove_tree().
 */
void model_temp_dir(char *path, size_t bytes);

/** Opens a service on a new folder; the test fails when that does not work. */
void model_service_open(struct model_service *service, const struct svc_options *options);

/** The same with segments of 1 MiB, since a start fills one with zeroes before it answers: for many
 * short tests. */
void model_service_open_small(struct model_service *service);

/** The same, and makes the table `t` with the family `f`. */
void model_service_open_table(struct model_service *service);

/** From here on, also behind restarts, all tablets are compacted without end. */
void model_service_compact(struct model_service *service);

/** Stops the service and removes its folder. */
void model_service_close(struct model_service *service);

/** Stops the service and opens it again on the same data, or on a copy taken before the stop. */
void model_service_restart(struct model_service *service, bool is_crash);

/** Makes the table `t` of two tablets with the families `f`, of one version, and `g`, of all. */
void model_svc_load_table_make(struct svc *svc, const char *split);

/** The files of large values in the data directory. */
unsigned model_service_blob_count(const struct model_service *service);

/** Waits until so many files of large values are left, as checkpoints and what follows them run
 * beside; the test fails after ten seconds. */
void model_service_blobs_await(const struct model_service *service, unsigned count);

/**
 * Copies a data directory that is in use as if its server were killed now. Nobody may be writing,
 * checkpoints may run: the copy is taken again until no environment was committed meanwhile.
 */
void model_data_copy(const char *from, const char *to);

/** Appends a mutation list, or a batch's array of entries, in wire form. */
void model_mutations_encode(const struct model_entry *entry, struct cellar_buffer *to);
void model_entries_encode(const struct model_entry *entries, size_t count,
                          struct cellar_buffer *to);

/** Makes the row set of a read; CELLAR_INVALID_ARGUMENT as cellar_rowset_decode(). */
enum cellar_status model_rowset_make(const struct model_read *read, struct cellar_arena *arena,
                                     struct cellar_rowset *set, struct cellar_error *error);

/** One row through svc_mutate_row(), awaited; UNAVAILABLE is tried again. */
enum cellar_status model_svc_mutate(struct svc *svc, const char *table,
                                    const struct model_entry *entry, struct cellar_error *error);

/** A write, awaited; `done` and `context` are set here. UNAVAILABLE is tried again. */
enum cellar_status model_svc_write(struct svc *svc, const struct svc_row_write *write,
                                   struct cellar_error *error);

/** A list in wire form for one row, awaited. */
enum cellar_status model_svc_mutate_wire(struct svc *svc, const char *table,
                                         struct cellar_slice row, struct cellar_slice list,
                                         struct cellar_error *error);

/** A batch in wire form, awaited; `results` has room for as many entries as it has. */
enum cellar_status model_svc_batch_wire(struct svc *svc, const char *table,
                                        struct cellar_slice entries, struct cellar_error *results,
                                        struct cellar_error *error);

/** A whole read, in chunks of about `chunk_bytes`. */
enum cellar_status model_svc_read(struct svc *svc, const char *table, const struct model_read *read,
                                  size_t chunk_bytes, struct model_answer *answer,
                                  struct cellar_error *error);

/** Changes families and throws the description away. */
enum cellar_status model_svc_modify(struct svc *svc, const struct svc_family_changes *changes,
                                    struct cellar_error *error);

/** One of the service's figures by its name; the test fails when there is none. */
uint64_t model_svc_figure(struct svc *svc, const char *name);

#endif
