#ifndef CELLAR_WEB_PAGES_H
#define CELLAR_WEB_PAGES_H

#include "server/net/web/http1.h"
#include "server/net/web/web_front.h"

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
