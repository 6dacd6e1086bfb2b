#ifndef CELLAR_WEB_PAGES_H
#define CELLAR_WEB_PAGES_H

#include "common/metric.h"

/* The pages, as text in memory: what is asked for by path, what is refused by status. */

/** What the pages show. The functions are called on any loop's thread and do not block. */
struct web_site {
    void *context; /* given to each function */
    const char *version;
    /** Whether the process does its work. @return CELLAR_OK, or the error that says what is wrong
     */
    enum cellar_status (*health)(void *context, struct cellar_error *error);
    /** Whether writes are taken now. */
    enum cellar_status (*readiness)(void *context, struct cellar_error *error);
    /** All metrics but this front end's own. */
    void (*metrics)(void *context, struct cellar_metric_page *page);
};

/** What all connections share; made by web_front_init(). */
struct web_context {
    struct web_site site;
    _Atomic uint32_t conn_count;
    struct cellar_counter answers[10]; /* by status, in the order of web_pages.c */
};

/** A page as it is sent. */
struct web_page {
    unsigned status;
    const char *content_type; /* static */
    struct cellar_buffer body;
};

/** Makes the page of a path, or the 404. The caller frees the body. Without memory: 503, and as
 * much of a body as there was memory for. */
void web_page_make(struct web_context *context, struct cellar_slice path, struct web_page *page);

/** Makes the page of a refusal. */
void web_page_refuse(unsigned status, struct web_page *page);

/** Counts an answer. Any thread. */
void web_answer_count(struct web_context *context, unsigned status);

#endif
