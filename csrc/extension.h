/* Images continued beyond their borders, for padding that is not zeros, and the transpose of that for gradients.
 *
 * Along each axis the extended image has a middle, which is a block of the image, and borders before and after it. Each
 * position of the borders repeats one of the image, or holds a constant (OUTSIDE). Here the padding is (2, 3), and the
 * mode "reflect":
 *
 *     image                    a b c d             size 4
 *     extended             c b a b c d c b a       extended 9, first 0, start 2, middle 4
 *     border               2 1         2 1 0
 *
 * Negative padding crops: with (-1, 3), first is 1, start 0 and middle 3. The order in which `fold` adds depends on
 * these numbers alone. */
#ifndef GEMMCONV_EXTENSION_H
#define GEMMCONV_EXTENSION_H

#include <stddef.h>

enum { OUTSIDE = -1 };

struct extended_axis {
    ptrdiff_t size, extended;
    ptrdiff_t first, start, middle; /* image[first + i] is extended[start + i] for 0 <= i < middle */
    const ptrdiff_t *border;        /* what each of the other `extended - middle` positions repeats */
};

/* `images` (count, size, size, size) and `extended` (count, extended, extended, extended), one size for each axis. A
 * task extends or folds some images; the tasks have the form that thread_pool.h asks for. */
struct extension {
    struct extended_axis axes[3];
    ptrdiff_t count;
    void *images, *extended;
    double value; /* of the positions OUTSIDE */
};

ptrdiff_t extension_task_count(const struct extension *extension);

/* Write `extended`. */
void extend_task_float32(const void *extension, ptrdiff_t task, int thread);
void extend_task_float64(const void *extension, ptrdiff_t task, int thread);

/* Write to each position of `images` the sum of the positions of `extended` that repeat it, and no other; what is
 * OUTSIDE is dropped. */
void fold_task_float32(const void *extension, ptrdiff_t task, int thread);
void fold_task_float64(const void *extension, ptrdiff_t task, int thread);

#endif
