#ifndef CELLAR_IO_LIST_H
#define CELLAR_IO_LIST_H

#include "common/base.h"

/*
 * Circular doubly linked lists whose links live inside the listed structures. A head and a link are
 * the same thing; a link that is in no list points at itself, so that removing it again is
 * harmless. One thread owns a list and all its links.
 */

struct io_list {
    struct io_list *next;
    struct io_list *previous;
};

/** Makes an empty head, or a link that is in no list. */
static inline void io_list_init(struct io_list *list)
{
    list->next = list;
    list->previous = list;
}

/** Whether a head has no link; for a link, whether it is in no list. */
static inline bool io_list_is_empty(const struct io_list *list)
{
    return list->next == list;
}

/** Puts `link`, which is in no list, at the end of the list of `head`. */
static inline void io_list_append(struct io_list *head, struct io_list *link)
{
    CELLAR_ASSERT(io_list_is_empty(link));
    link->previous = head->previous;
    link->next = head;
    head->previous->next = link;
    head->previous = link;
}

/** Takes `link` out of its list, if it is in one. */
static inline void io_list_remove(struct io_list *link)
{
    CELLAR_ASSERT(link->next->previous == link);
    link->next->previous = link->previous;
    link->previous->next = link->next;
    io_list_init(link);
}

/** Takes the first link out of the list of `head`; NULL when it has none. */
static inline struct io_list *io_list_take(struct io_list *head)
{
    if (io_list_is_empty(head)) {
        return NULL;
    }
    struct io_list *first = head->next;
    io_list_remove(first);
    return first;
}

/** Moves all links of `from` to the end of `to`. */
static inline void io_list_move(struct io_list *to, struct io_list *from)
{
    CELLAR_ASSERT(to != from);
    if (io_list_is_empty(from)) {
        return;
    }
    from->next->previous = to->previous;
    from->previous->next = to;
    to->previous->next = from->next;
    to->previous = from->previous;
    io_list_init(from);
}

#endif
