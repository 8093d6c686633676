"""The table of kernels, problems in numbers, and what all classes that compute a problem share."""


cdef tuple KERNEL_NAMES = tuple([cuts[i].name.decode() for i in range(KERNEL_COUNT)])


def fitting_kernels(geometry):
    """Return the names of the kernels that can compute an operation of this geometry.

    `phases` is never among them: it fits where `cut_into_phases` finds a cut.
    """
    cdef conv_problem problem = problem_of(geometry, None, sizeof(float))  # which fit does not depend on the type
    return tuple([name for i, name in enumerate(KERNEL_NAMES) if cuts[i].fits(&problem)])


cdef const cut *cut_of(str kernel, operation wanted) except NULL:
    """Return how a kernel cuts problems; its place in the table of cuts is its number."""
    cdef int number
    if kernel in KERNEL_NAMES:
        number = KERNEL_NAMES.index(kernel)
        if cuts[number].operation == wanted:
            return &cuts[number]
    raise ValueError(f"there is no kernel {kernel!r} for this operation")


cdef conv_problem problem_of(geometry, tiling, Py_ssize_t itemsize) except *:
    """Return a convolution in numbers, without arrays."""
    cdef conv_problem problem
    memset(&problem, 0, sizeof(problem))
    problem.itemsize = itemsize
    problem.batch = geometry.batch
    problem.in_channels = geometry.in_channels
    problem.out_channels = geometry.out_channels
    problem.groups = geometry.groups
    problem.in_size[0], problem.in_size[1], problem.in_size[2] = geometry.in_size
    problem.out_size[0], problem.out_size[1], problem.out_size[2] = geometry.out_size
    problem.kernel[0], problem.kernel[1], problem.kernel[2] = geometry.kernel
    problem.stride[0], problem.stride[1], problem.stride[2] = geometry.stride
    problem.dilation[0], problem.dilation[1], problem.dilation[2] = geometry.dilation
    problem.pad_before[0], problem.pad_before[1], problem.pad_before[2] = geometry.pad_before
    if tiling is not None:
        problem.tiling.pixels = tiling.pixels
        problem.tiling.block = tiling.block
        problem.tiling.panel = tiling.panel
        problem.tiling.channels = tiling.channels
        problem.tiling.taps = tiling.taps
    return problem


cdef Py_ssize_t x_bytes(const conv_problem *problem, Py_ssize_t itemsize):
    return problem.batch * problem.in_channels * volume(problem.in_size) * itemsize


cdef Py_ssize_t y_bytes(const conv_problem *problem, Py_ssize_t itemsize):
    return problem.batch * problem.out_channels * volume(problem.out_size) * itemsize


cdef Py_ssize_t weight_bytes(const conv_problem *problem, Py_ssize_t itemsize):
    return weight_size(problem) * itemsize


cdef class Computation:
    """A problem for arrays of one type, and the kernel that computes it."""

    cdef conv_problem problem
    cdef const cut *cut
    cdef readonly Py_ssize_t itemsize

    cdef int prepare(self, geometry, tiling, Py_ssize_t itemsize, str kernel, operation wanted) except -1:
        self.problem = problem_of(geometry, tiling, itemsize)
        self.cut = cut_of(kernel, wanted)
        self.itemsize = itemsize
        return 0

    @property
    def kernel(self):
        """The name of the kernel."""
        return KERNEL_NAMES[self.cut - cuts]

    @property
    def task_count(self):
        """The number of tasks of one call."""
        return self.cut.task_count(&self.problem)

    @property
    def scratch_bytes(self):
        """The memory that a thread needs beside the arrays."""
        return self.cut.scratch_size(&self.problem) * self.itemsize

    @property
    def layout_bytes(self):
        """The size of a laid-out weight; 0 if the kernel reads the weight as it is."""
        return self.layout_size() * self.itemsize

    cdef ptrdiff_t layout_size(self):
        return self.cut.layout_size(&self.problem)

    cdef const kernel_functions *functions(self):
        return &kernels_of(self.itemsize).kernels[self.cut - cuts]

    cdef const kernel_functions *read_weight(self, conv_problem *problem, weight) except NULL:
        """Let a problem read a result of `lay_out`, as long as that lives; return the functions that can read it."""
        cdef Layout layout
        if not isinstance(weight, Layout):
            problem.weight = (<Memory?>weight).view.buf
            return self.functions()
        layout = weight
        cdef Py_ssize_t expected = self.layout_size() * self.itemsize
        if layout.size != expected:
            raise ValueError(f"a layout of {expected} bytes was expected, but one of {layout.size} came")
        problem.weight = layout.data
        return layout.functions

    cdef int compute(self, conv_problem *problem, const kernel_functions *functions, int threads) except -1:
        """Run all tasks of a problem that knows its arrays."""
        if problem.tiling.taps:  # only kernels that call BLAS have a tiling for it; looking it up imports SciPy
            problem.blas = gemm_of(self.itemsize)
        return run_tasks(
            problem,
            functions.run,
            self.cut.task_count(problem),
            self.cut.scratch_size(problem),
            self.itemsize,
            threads,
        )

    cdef int compute_input_gradient(self, grad_output, weight, bias, out, int threads) except -1:
        """Write the gradient of the input, or with a bias per channel the transposed convolution, to all of `out`.

        `weight` is a result of `lay_out`; `bias` may be None.
        """
        cdef conv_problem problem = self.problem
        cdef Memory grad_memory = memory_of(grad_output, y_bytes(&problem, self.itemsize))
        cdef Memory bias_memory = bias_of(bias, problem.in_channels * self.itemsize)
        cdef Memory out_memory = target_of(out, x_bytes(&problem, self.itemsize))
        problem.gradient = grad_memory.view.buf
        problem.bias = address_of(bias_memory)
        problem.output = out_memory.view.buf
        return self.compute(&problem, self.read_weight(&problem, weight), threads)
