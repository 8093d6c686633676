/* Extension and folding for float and double. It moves memory, so it is compiled once for all instruction sets. */
#include "extension.h"

#include <string.h>

#include "problem.h"
#include "vectors.h"

enum {
    TASK_ELEMENTS = 1 << 15, /* elements of the extended images of a task, at least */
    COPIED_INLINE = 64       /* the longest row for which a call of memcpy takes longer than the copy */
};

static ptrdiff_t image_volume(const struct extension *extension)
{
    const struct extended_axis *axes = extension->axes;
    return axes[0].size * axes[1].size * axes[2].size;
}

static ptrdiff_t extended_volume(const struct extension *extension)
{
    const struct extended_axis *axes = extension->axes;
    return axes[0].extended * axes[1].extended * axes[2].extended;
}

/* The images of each task but the last. */
static ptrdiff_t images_per_task(const struct extension *extension)
{
    return 1 + TASK_ELEMENTS / extended_volume(extension);
}

static struct interval images_of_task(const struct extension *extension, ptrdiff_t task)
{
    const ptrdiff_t images = images_per_task(extension);
    return (struct interval){task * images, min_size((task + 1) * images, extension->count)};
}

ptrdiff_t extension_task_count(const struct extension *extension)
{
    const ptrdiff_t images = images_per_task(extension);
    return (extension->count + images - 1) / images;
}

/* The positions of an extended axis are visited in this order: the middle, the border before it, the border after. */
ALWAYS_INLINE ptrdiff_t extended_position(const struct extended_axis *axis, ptrdiff_t i)
{
    if (i < axis->middle)
        return axis->start + i;
    return i < axis->middle + axis->start ? i - axis->middle : i;
}

/* What the position repeats that is visited as number i. */
ALWAYS_INLINE ptrdiff_t repeated_position(const struct extended_axis *axis, ptrdiff_t i)
{
    return i < axis->middle ? axis->first + i : axis->border[i - axis->middle];
}

#define REAL float
#define LANES FLOAT32_LANES
#define NAME(stem) stem##_float32
#include "extension.inc"

#define REAL double
#define LANES FLOAT64_LANES
#define NAME(stem) stem##_float64
#include "extension.inc"
