/*
 * What a mistyped word may have meant: the nearest of the known ones by edit distance.
 *
 * The distance counts letters inserted, left out, replaced and, which is the commonest slip of
 * fingers, swapped with their neighbour (optimal string alignment). Three rows of the table are
 * kept. A third of the letters may be wrong, so that nothing is offered for what is another word.
 * Of equally near names the first wins. Pure; names above WORD_BYTES_MAX are never near.
 *
 * After G. Navarro, "A guided tour to approximate string matching", ACM Computing Surveys 33, 2001.
 */

#include "client/tools/nearest.h"

#define WORD_BYTES_MAX 40u

/* The least of three ways, and of a fourth where the last two letters are swapped. */
static size_t cell_least(size_t above, size_t left, size_t diagonal, size_t swap)
{
    size_t least = CELLAR_MIN(CELLAR_MIN(above, left) + 1, diagonal);
    CELLAR_ASSERT(swap > 0);
    return CELLAR_MIN(least, swap);
}

/* The edit distance of two words of at most WORD_BYTES_MAX bytes. */
static size_t word_distance(struct cellar_slice a, struct cellar_slice b)
{
    size_t rows[3][WORD_BYTES_MAX + 1];
    CELLAR_ASSERT(a.bytes <= WORD_BYTES_MAX && b.bytes <= WORD_BYTES_MAX);
    for (size_t i = 0; i <= a.bytes; i++) {
        size_t *row = rows[i % 3];
        const size_t *before = rows[(i + 2) % 3];
        for (size_t j = 0; j <= b.bytes; j++) {
            if (i == 0 || j == 0) {
                row[j] = i + j;
                continue;
            }
            bool is_swap =
                i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] && a.data[i - 2] == b.data[j - 1];
            row[j] = cell_least(before[j], row[j - 1],
                                before[j - 1] + (a.data[i - 1] == b.data[j - 1] ? 0 : 1),
                                is_swap ? rows[(i + 1) % 3][j - 2] + 1 : SIZE_MAX);
        }
    }
    return rows[a.bytes % 3][b.bytes];
}

struct cellar_nearest cellar_nearest_start(const char *typed)
{
    size_t bytes = strlen(typed);
    CELLAR_ASSERT(typed != NULL);
    return (struct cellar_nearest){.typed = typed, .distance = CELLAR_MAX(bytes / 3, 1u) + 1};
}

void cellar_nearest_add(struct cellar_nearest *nearest, const char *name)
{
    struct cellar_slice typed = cellar_slice_text(nearest->typed);
    struct cellar_slice known = cellar_slice_text(name);
    CELLAR_ASSERT(known.bytes > 0);
    if (typed.bytes < 2 || typed.bytes > WORD_BYTES_MAX || known.bytes > WORD_BYTES_MAX) {
        return;
    }
    size_t distance = word_distance(typed, known);
    if (distance < nearest->distance) {
        nearest->distance = distance;
        nearest->name = name;
    }
}
