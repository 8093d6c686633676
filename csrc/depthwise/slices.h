/* The slices of a kernel of depthwise, one after the other, as convolutions of their own; depthwise.h draws them. */
#ifndef GEMMCONV_DEPTHWISE_SLICES_H
#define GEMMCONV_DEPTHWISE_SLICES_H

#include "depthwise/depthwise.h"

/* A slice of the kernel: the convolution with it, and where its taps and its laid-out weights begin in the kernel. */
struct depthwise_slice {
    const struct conv_problem *problem; /* the convolution with the whole kernel, or `part` */
    struct conv_problem part;
    ptrdiff_t number, first[AXES], weight;
};

/* Set slice->part to the convolution with slice number slice->number. */
void depthwise_set_slice(const struct conv_problem *problem, const struct depthwise_cut *cut,
                         struct depthwise_slice *slice);

/* The first slice of a kernel. */
static inline void depthwise_first_slice(const struct conv_problem *problem, const struct depthwise_cut *cut,
                                         struct depthwise_slice *slice)
{
    slice->number = slice->weight = 0;
    slice->problem = problem;
    for (int axis = 0; axis < AXES; axis++)
        slice->first[axis] = 0;
    if (cut->slice_count > 1)
        depthwise_set_slice(problem, cut, slice);
}

/* Go on to the next slice; false after the last. */
static inline int depthwise_next_slice(const struct conv_problem *problem, const struct depthwise_cut *cut,
                                       struct depthwise_slice *slice)
{
    if (slice->number + 1 == cut->slice_count)
        return 0;
    slice->number++;
    slice->weight += volume(slice->part.kernel);
    depthwise_set_slice(problem, cut, slice);
    return 1;
}

#endif
