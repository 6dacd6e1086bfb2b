/*
 * Metrics of the process, read from /proc and getrusage(2) when the page is made.
 *
 * Files of /proc are memory of the kernel, so a loop may read them. What cannot be read is left out
 * of the page. Descriptors are counted by listing them, as kernels before 6.2 know no better; that
 * takes a millisecond for some thousand.
 */
#include "server/app/process_metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define FILE_BYTES_MAX 4096u

/* The beginning of a file, as a text; empty when there is none. */
static void read_text(const char *path, char *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, FILE_BYTES_MAX - 1) : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    CELLAR_ASSERT(got < (ssize_t)FILE_BYTES_MAX);
    text[got > 0 ? got : 0] = '\0';
}

/* A line `NAME: 123 kB` of /proc/self/status, in bytes. */
static bool find_bytes(const char *status, const char *name, uint64_t *bytes)
{
    const char *found = strstr(status, name);
    CELLAR_ASSERT(name[0] != '\0');
    if (found == NULL) {
        return false;
    }
    *bytes = strtoull(found + strlen(name), NULL, 10) * 1024;
    return true;
}

static void show_memory(struct cellar_metric_page *page)
{
    char status[FILE_BYTES_MAX];
    uint64_t bytes = 0;
    read_text("/proc/self/status", status);
    CELLAR_ASSERT(page->to != NULL);
    if (find_bytes(status, "\nVmSize:", &bytes)) {
        cellar_metric_gauge(page, "process_virtual_memory_bytes",
                            "Address space, with all that the stores may grow to.", bytes);
    }
    if (find_bytes(status, "\nVmRSS:", &bytes)) {
        cellar_metric_gauge(page, "process_resident_memory_bytes",
                            "Resident memory, with the pages of stores that are in memory.", bytes);
    }
    if (find_bytes(status, "\nRssAnon:", &bytes)) {
        cellar_metric_gauge(page, "cellar_memory_anonymous_bytes",
                            "Memory of the process itself (RssAnon).", bytes);
    }
}

static void show_processor(struct cellar_metric_page *page)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) {
        return;
    }
    uint64_t us = ((uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec) * 1000000 +
                  (uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec;
    cellar_metric_begin(page, CELLAR_METRIC_COUNTER, "process_cpu_seconds_total",
                        "Processor time of all threads.");
    cellar_metric_put_us(page, "", us);
    CELLAR_ASSERT(page->type == CELLAR_METRIC_COUNTER);
}

static void show_descriptors(struct cellar_metric_page *page)
{
    struct rlimit limit;
    uint64_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (directory != NULL) {
        for (const struct dirent *entry = readdir(directory); entry != NULL;
             entry = readdir(directory)) {
            count += entry->d_name[0] != '.' ? 1 : 0;
        }
        (void)closedir(directory);
        CELLAR_ASSERT(count > 0);
        cellar_metric_gauge(page, "process_open_fds", "Open file descriptors.", count - 1);
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        cellar_metric_gauge(page, "process_max_fds", "Most file descriptors that may be open.",
                            (uint64_t)limit.rlim_cur);
    }
}

void cellar_process_show(int64_t start_real_us, struct cellar_metric_page *page)
{
    CELLAR_ASSERT(start_real_us >= 0);
    cellar_metric_begin(page, CELLAR_METRIC_GAUGE, "process_start_time_seconds",
                        "When the server was started, since the Unix epoch.");
    cellar_metric_put_us(page, "", (uint64_t)start_real_us);
    show_processor(page);
    show_memory(page);
    show_descriptors(page);
}
