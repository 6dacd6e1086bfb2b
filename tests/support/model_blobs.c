/*
 * The files of large values that a service in the process has.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/model_service.h"
#include "tests/support/support.h"

#define LOOK_US 5000u
#define LOOK_COUNT_MAX 2000u

unsigned model_service_blob_count(const struct model_service *service)
{
    char path[400];
    unsigned count = 0;
    (void)snprintf(path, sizeof path, "%s/blobs", service->data_dir);
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        count += strstr(entry->d_name, ".blob") != NULL ? 1 : 0;
    }
    assert_int_equal(closedir(directory), 0);
    return count;
}

void model_service_blobs_await(const struct model_service *service, unsigned count)
{
    for (unsigned i = 0; i < LOOK_COUNT_MAX && model_service_blob_count(service) != count; i++) {
        (void)usleep(LOOK_US);
    }
    assert_int_equal(model_service_blob_count(service), count);
}
