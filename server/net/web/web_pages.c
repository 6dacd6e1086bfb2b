/*
 * What the pages say.
 *
 * A table holds each path with the function that writes its body. The health pages answer 200 with
 * `ok`, or 503 with the reason, for programs to look at the status and people at the text. The page
 * of metrics is written into memory first, as its length stands before it. Every function here may
 * run on any loop; the counters are shared.
 */
#include "server/net/web/web_pages.h"

#include <stdio.h>

#include "server/net/web/http1.h"

#define TEXT_TYPE "text/plain; charset=utf-8"
#define HTML_TYPE "text/html; charset=utf-8"
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* The statuses that are counted; the order of web_context.answers. */
static const unsigned counted[] = {200, 400, 404, 405, 408, 413, 431, 500, 503, 505};

static_assert(sizeof counted / sizeof counted[0] ==
                  sizeof((struct web_context *)0)->answers / sizeof(struct cellar_counter),
              "a counter a status");

void web_answer_count(struct web_context *context, unsigned status)
{
    size_t index = 0;
    while (index < CELLAR_ARRAY_COUNT(counted) && counted[index] != status) {
        index++;
    }
    CELLAR_ASSERT(index < CELLAR_ARRAY_COUNT(counted));
    cellar_counter_add_shared(&context->answers[index], 1);
}

/* ---- pages ----------------------------------------------------------------------------------- */

static enum cellar_status put_check(enum cellar_status checked, const struct cellar_error *error,
                                    struct web_page *page)
{
    CELLAR_ASSERT(checked == CELLAR_OK || error->text[0] != '\0');
    page->status = checked == CELLAR_OK ? 200 : 503;
    return cellar_buffer_printf(&page->body, "%s\n", checked == CELLAR_OK ? "ok" : error->text);
}

static enum cellar_status make_health(struct web_context *context, struct web_page *page)
{
    struct cellar_error error;
    cellar_error_clear(&error);
    enum cellar_status checked = context->site.health(context->site.context, &error);
    CELLAR_ASSERT(checked == CELLAR_OK || error.code == checked);
    return put_check(checked, &error, page);
}

static enum cellar_status make_readiness(struct web_context *context, struct web_page *page)
{
    struct cellar_error error;
    cellar_error_clear(&error);
    enum cellar_status checked = context->site.readiness(context->site.context, &error);
    CELLAR_ASSERT(checked == CELLAR_OK || error.code == checked);
    return put_check(checked, &error, page);
}

static enum cellar_status make_metrics(struct web_context *context, struct web_page *page)
{
    struct cellar_metric_page metrics = {.to = &page->body};
    char labels[32];
    context->site.metrics(context->site.context, &metrics);
    cellar_metric_begin(&metrics, CELLAR_METRIC_COUNTER, "cellar_http_answers_total",
                        "Answers to HTTP requests, by status.");
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(counted); i++) {
        (void)snprintf(labels, sizeof labels, "status=\"%u\"", counted[i]);
        cellar_metric_put(&metrics, labels, cellar_counter_get(&context->answers[i]));
    }
    CELLAR_ASSERT(metrics.to == &page->body);
    return metrics.status;
}

static enum cellar_status make_index(struct web_context *context, struct web_page *page)
{
    CELLAR_ASSERT(context->site.version != NULL);
    return cellar_buffer_printf(
        &page->body,
        "<!DOCTYPE html>\n"
        "<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Cellar</title></head><body>\n"
        "<h1>cellard %s</h1>\n"
        "<ul>\n"
        "<li><a href=\"/healthz\">/healthz</a>: does the process do its work?</li>\n"
        "<li><a href=\"/readyz\">/readyz</a>: does it take writes now?</li>\n"
        "<li><a href=\"/metrics\">/metrics</a>: figures for Prometheus</li>\n"
        "</ul>\n"
        "<p>Clients talk to this port in Cellar's own protocol; try <code>cellar ping</code>.</p>\n"
        "</body></html>\n",
        context->site.version);
}

struct route {
    const char *path;
    const char *content_type;
    enum cellar_status (*make)(struct web_context *context, struct web_page *page);
};

static const struct route routes[] = {
    {"/", HTML_TYPE, make_index},
    {"/healthz", TEXT_TYPE, make_health},
    {"/readyz", TEXT_TYPE, make_readiness},
    {"/metrics", METRICS_TYPE, make_metrics},
};

void web_page_make(struct web_context *context, struct cellar_slice path, struct web_page *page)
{
    CELLAR_ASSERT(path.bytes > 0);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(routes); i++) {
        if (!cellar_slice_equal(path, cellar_slice_text(routes[i].path))) {
            continue;
        }
        *page = (struct web_page){.status = 200, .content_type = routes[i].content_type};
        if (routes[i].make(context, page) != CELLAR_OK) {
            cellar_buffer_fini(&page->body);
            web_page_refuse(503, page);
        }
        return;
    }
    web_page_refuse(404, page);
}

void web_page_refuse(unsigned status, struct web_page *page)
{
    *page = (struct web_page){.status = status, .content_type = TEXT_TYPE};
    const char *advice = status == 404 || status == 405
                             ? "; there are GET and HEAD of /, /healthz, /readyz and /metrics"
                             : "";
    CELLAR_ASSERT(status >= 400);
    enum cellar_status ignored =
        cellar_buffer_printf(&page->body, "%u %s%s\n", status, web_status_text(status), advice);
    (void)ignored; /* an empty body will do */
}
