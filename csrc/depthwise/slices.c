/* Where a slice of depthwise begins, for every type and instruction set; slices.h has the rest. */
#include "depthwise/slices.h"

void depthwise_set_slice(const struct conv_problem *problem, const struct depthwise_cut *cut,
                         struct depthwise_slice *slice)
{
    ptrdiff_t rest = slice->number;
    slice->problem = &slice->part;
    slice->part = *problem;
    for (int axis = AXES - 1; axis >= 0; axis--) {
        const ptrdiff_t slices = cut->slices[axis], i = take(&rest, slices), taps = problem->kernel[axis];
        slice->first[axis] = i * taps / slices;
        slice->part.kernel[axis] = (i + 1) * taps / slices - slice->first[axis];
        slice->part.pad_before[axis] -= slice->first[axis] * problem->dilation[axis];
    }
    slice->part.relu = problem->relu && slice->number + 1 == cut->slice_count;
}
