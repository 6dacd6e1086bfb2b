#ifndef CELLAR_TOOLS_NEAREST_H
#define CELLAR_TOOLS_NEAREST_H

#include "common/buf.h"

/* The known word that a mistyped one is nearest to. */

/** Fields belong to nearest.c, but for `name` afterwards: NULL when nothing is near enough. */
struct cellar_nearest {
    const char *typed; /* NUL-terminated, of any length */
    const char *name;
    size_t distance;
};

/** Begins with what was typed. */
struct cellar_nearest cellar_nearest_start(const char *typed);

/** Compares with one known name, which is borrowed. */
void cellar_nearest_add(struct cellar_nearest *nearest, const char *name);

#endif
