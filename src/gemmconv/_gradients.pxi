"""Gradients of convolutions as the C layer takes them, except the input gradient by phases (_phases.pxi)."""


@cython.final
cdef class InputGradient(Computation):
    """The gradient of the input of a convolution, by BLAS: `geometry` is that of the convolution."""

    def __cinit__(self, geometry, Py_ssize_t itemsize, tiling):
        self.prepare(geometry, tiling, itemsize, "input_gradient", INPUT_GRADIENT)

    def run(self, grad_output, weight, bias, out, int threads=1):
        """Compute the gradient of the input from that of the output, plus a bias per channel or None.

        All of `out` is written.
        """
        self.compute_input_gradient(grad_output, weight, bias, out, threads)


@cython.final
cdef class WeightGradient(Computation):
    """The gradient of the weight of a convolution, by the named kernel: `geometry` is that of the convolution.

    A result that is not finite is computed again by `exact`, which is the same gradient by another kernel.
    """

    cdef readonly WeightGradient exact

    def __cinit__(
        self,
        geometry,
        Py_ssize_t itemsize,
        tiling,
        str kernel,
        WeightGradient exact=None,
        bint channels_last=False,
    ):
        self.prepare(geometry, tiling, itemsize, kernel, WEIGHT_GRADIENT)
        self.problem.channels_last = channels_last
        self.exact = exact
        self.problem.parts = self.cut.parts(&self.problem)

    @property
    def parts(self):
        """How many parts of the sum are computed apart."""
        return self.problem.parts

    @property
    def parts_bytes(self):
        """The memory of the parts; 0 for a single one."""
        return self.problem.parts * weight_bytes(&self.problem, self.itemsize) if self.problem.parts > 1 else 0

    def run(self, grad_output, x, out, int threads=1):
        """Compute the gradient of the weight. All of `out` is written; the gradient of an empty batch is zero."""
        cdef conv_problem problem = self.problem
        cdef Memory grad_memory = memory_of(grad_output, y_bytes(&problem, self.itemsize))
        cdef Memory x_memory = memory_of(x, x_bytes(&problem, self.itemsize))
        cdef Memory out_memory = target_of(out, weight_bytes(&problem, self.itemsize))
        if problem.batch == 0:
            memset(out_memory.view.buf, 0, out_memory.view.len)
            return
        cdef note not_finite = 0
        problem.not_finite = &not_finite
        problem.gradient = grad_memory.view.buf
        problem.input = x_memory.view.buf
        problem.output = out_memory.view.buf
        if problem.parts == 1:
            self.compute(&problem, self.functions(), threads)
        else:
            self.compute_parts(&problem, threads)
        if self.exact is None:
            return
        cdef bint takes_notes = problem.tiling.taps == 0  # as the kernels do that do not call BLAS
        if not_finite != 0 or not (takes_notes or self.first_channel_is_finite(out_memory)):
            self.exact.run(grad_memory, x_memory, out_memory, threads)

    cdef bint first_channel_is_finite(self, Memory gradient):
        """Return whether the taps of the first channel of each output are finite.

        A product with padding that is not in the definition is NaN for all channels of an output.
        """
        cdef ptrdiff_t taps = volume(self.problem.kernel), output
        cdef Py_ssize_t bytes = reduction_length(&self.problem) * self.itemsize
        for output in range(self.problem.out_channels):
            if not are_finite(<const char *>gradient.view.buf + output * bytes, taps, self.itemsize):
                return False
        return True

    cdef int compute_parts(self, conv_problem *problem, int threads) except -1:
        """Compute the parts of the sum into memory of their own, then add them."""
        cdef conv_problem sum_parts = problem[0]
        cdef void *parts = allocate(self.parts_bytes)
        problem.output = parts
        sum_parts.input = parts
        try:
            self.compute(problem, self.functions(), threads)
            return run_tasks(
                &sum_parts,
                kernels_of(self.itemsize).sum_parts,
                sum_parts_task_count(&sum_parts),
                0,
                self.itemsize,
                threads,
            )
        finally:
            free_lines(parts)
