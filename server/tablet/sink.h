#ifndef CELLAR_TABLET_SINK_H
#define CELLAR_TABLET_SINK_H

#include "common/buf.h"

/** Where a scan puts its rows; the order of calls is svc_row_sink's. A failure ends the scan with
 * that status. */
struct tablet_sink {
    void *context;
    enum cellar_status (*row_begin)(void *context, struct cellar_slice row, bool is_continued);
    enum cellar_status (*cells)(void *context, struct cellar_slice packed);
    enum cellar_status (*row_end)(void *context, bool has_more);
    enum cellar_status (*blob)(void *context, struct cellar_slice row, bool has_more,
                               struct cellar_slice before);
};

#endif
