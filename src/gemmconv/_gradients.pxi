"""Gradients of convolutions as the C layer takes them."""


@cython.final
cdef class InputGradient:
    """The gradient of the input of a convolution, by BLAS: `geometry` is that of the convolution."""

    cdef conv_problem problem
    cdef readonly Py_ssize_t itemsize

    def __cinit__(self, geometry, Py_ssize_t itemsize, tiling):
        self.problem = problem_of(geometry, tiling)
        self.itemsize = itemsize

    @property
    def task_count(self):
        """The number of tasks of one call."""
        return input_gradient_task_count(&self.problem)

    @property
    def scratch_bytes(self):
        """The memory that a thread needs beside the arrays."""
        return input_gradient_scratch_size(&self.problem) * self.itemsize

    def lay_out(self, weight, int threads=1):
        """Return the weights as `run` takes them."""
        return memory_of(weight, weight_bytes(&self.problem, self.itemsize))

    def run(self, grad_output, weight, bias, out, int threads=1):
        """Compute the gradient of the input from that of the output, plus a bias per channel or None.

        All of `out` is written.
        """
        cdef conv_problem problem = self.problem
        cdef Memory bias_memory = None
        if bias is not None:
            bias_memory = memory_of(bias, problem.in_channels * self.itemsize)
            problem.bias = bias_memory.view.buf
        cdef Memory grad_memory = memory_of(grad_output, y_bytes(&problem, self.itemsize))
        cdef Memory weight_memory = memory_of(weight, weight_bytes(&problem, self.itemsize))
        cdef Memory out_memory = target_of(out, x_bytes(&problem, self.itemsize))
        problem.blas = gemm_of(self.itemsize)
        problem.gradient = grad_memory.view.buf
        problem.weight = weight_memory.view.buf
        problem.output = out_memory.view.buf
        cdef operation input_gradient = operation(
            kernels_of(self.itemsize).input_gradient_run,
            input_gradient_task_count(&problem),
            input_gradient_scratch_size(&problem),
        )
        run_tasks(&problem, &input_gradient, self.itemsize, threads)


@cython.final
cdef class WeightGradient:
    """The gradient of the weight of a convolution, by the named kernel: `geometry` is that of the convolution.

    A result that is not finite is computed anew by `exact`, which is the same gradient by another kernel.
    """

    cdef conv_problem problem
    cdef ptrdiff_t number
    cdef readonly Py_ssize_t itemsize
    cdef readonly WeightGradient exact

    def __cinit__(self, geometry, Py_ssize_t itemsize, tiling, str kernel, WeightGradient exact=None):
        self.problem = problem_of(geometry, tiling)
        self.itemsize = itemsize
        self.exact = exact
        self.number = 0
        while self.number < WEIGHT_GRADIENTS and weight_gradient_cuttings[self.number].name != kernel.encode():
            self.number += 1
        if self.number == WEIGHT_GRADIENTS:
            raise ValueError(f"there is no kernel {kernel!r}")
        self.problem.parts = self.cutting().parts(&self.problem)

    cdef const weight_gradient_cutting *cutting(self):
        return &weight_gradient_cuttings[self.number]

    @property
    def kernel(self):
        """The name of the kernel."""
        return self.cutting().name.decode()

    @property
    def fits(self):
        """Whether the kernel can compute it, within its memory."""
        return bool(self.cutting().fits(&self.problem))

    @property
    def parts(self):
        """How many parts of the sum are computed apart."""
        return self.problem.parts

    @property
    def task_count(self):
        """The number of tasks of one call."""
        return self.cutting().task_count(&self.problem)

    @property
    def scratch_bytes(self):
        """The memory that a thread needs beside the arrays and the parts."""
        return self.cutting().scratch_size(&self.problem) * self.itemsize

    @property
    def parts_bytes(self):
        """The memory of the parts; 0 for a single one."""
        return self.problem.parts * weight_bytes(&self.problem, self.itemsize) if self.problem.parts > 1 else 0

    def run(self, grad_output, x, out, int threads=1):
        """Compute the gradient of the weight. All of `out` is written; there is at least one image."""
        cdef conv_problem problem = self.problem
        if problem.batch == 0:
            import numpy as np
            out[...] = 0
            return
        cdef Memory grad_memory = memory_of(grad_output, y_bytes(&problem, self.itemsize))
        cdef Memory x_memory = memory_of(x, x_bytes(&problem, self.itemsize))
        cdef Memory out_memory = target_of(out, weight_bytes(&problem, self.itemsize))
        problem.blas = gemm_of(self.itemsize)
        problem.gradient = grad_memory.view.buf
        problem.input = x_memory.view.buf
        problem.output = out_memory.view.buf
        cdef note not_finite = 0
        problem.not_finite = &not_finite
        cdef void *parts = allocate(self.parts_bytes)
        try:
            self.run_problem(&problem, parts, threads)
        finally:
            free_lines(parts)
        if not_finite and self.exact is not None:
            self.exact.run(grad_memory, x_memory, out_memory, threads)

    cdef int run_problem(self, conv_problem *problem, void *parts, int threads) except -1:
        cdef void *out = problem.output
        cdef operation weight_gradient = operation(
            kernels_of(self.itemsize).weight_gradient_run[self.number],
            self.cutting().task_count(problem),
            self.cutting().scratch_size(problem),
        )
        if parts != NULL:
            problem.output = parts
        run_tasks(problem, &weight_gradient, self.itemsize, threads)
        if parts == NULL:
            return 0
        problem.input, problem.output = parts, out
        cdef operation sum_parts = operation(
            kernels_of(self.itemsize).sum_parts_run, sum_parts_task_count(problem), 0
        )
        return run_tasks(problem, &sum_parts, self.itemsize, threads)
