"""The table of kernels, problems in numbers, and what all classes that compute a problem share."""


cdef tuple KERNEL_NAMES = tuple([cuts[i].name.decode() for i in range(KERNEL_COUNT)])


def fitting_kernels(geometry, bint channels_last=False):
    """Return the names of the kernels that can compute an operation of this geometry.

    With `channels_last` some of them take only arrays with channels first all the same; engine/kernels.py knows which.

    `phases` is never among them: it fits where `cut_into_phases` finds a cut.
    """
    cdef conv_problem problem = problem_of(geometry, None, sizeof(float))  # which fit does not depend on the type
    problem.channels_last = channels_last
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


cdef bint weight_is_finite(Memory weight, Py_ssize_t itemsize):
    cdef bint is_finite
    with nogil:
        is_finite = are_finite(weight.view.buf, weight.view.len // itemsize, itemsize)
    return is_finite


cdef inline Memory weight_not_finite(laid_out):
    """Return the weight as it came if a result of `lay_out` is not laid out because it is not finite, or None."""
    if isinstance(laid_out, Layout) and (<Layout>laid_out).functions == NULL:
        return (<Layout>laid_out).weight
    return None


cdef class Computation:
    """A problem for arrays of one type, and the kernel that computes it.

    If a weight is not finite, `definition` computes instead, unless that is None (see engine/not_finite.py).
    """

    cdef conv_problem problem
    cdef const cut *cut
    cdef readonly Py_ssize_t itemsize
    # The number of tasks and the elements of scratch of each, from the first call on; before it both are -1.
    cdef ptrdiff_t tasks, scratch
    cdef readonly object definition
    cdef box watched
    cdef bint looks_first

    cdef int prepare(self, geometry, tiling, Py_ssize_t itemsize, str kernel, operation wanted) except -1:
        self.problem = problem_of(geometry, tiling, itemsize)
        self.cut = cut_of(kernel, wanted)
        self.itemsize = itemsize
        self.tasks = self.scratch = -1
        return 0

    def watch(self, definition, watched):
        """Let `definition` compute if a weight is not finite, which the elements `watched` of a result tell.

        `watched` is a box, or None if the weights are to be looked at before each call. So they are with relu, which
        makes zero of minus infinity.
        """
        self.definition = definition
        self.looks_first = watched is None or self.problem.relu
        cdef const ptrdiff_t *size = self.problem.out_size
        if self.cut.operation == INPUT_GRADIENT:
            size = self.problem.in_size
        for axis in range(3):
            self.watched.size[axis] = size[axis]
            self.watched.axis[axis].first, self.watched.axis[axis].end = watched[axis] if watched else (0, 0)

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

    cpdef lay_out(self, weight, int threads=1):
        """Return the weight as `run` reads it: a Layout, or held as it is. It serves any batch."""
        cdef Memory memory = memory_of(weight, weight_bytes(&self.problem, self.itemsize))
        if self.definition is None or weight_is_finite(memory, self.itemsize):
            return self.new_layout(memory, threads)
        return Layout(0, memory)

    cdef object new_layout(self, Memory weight, int threads):
        """Return a weight as the kernel reads it."""
        return weight

    cdef Memory unseen(self, weight):
        """Return a weight that is neither laid out nor looked at before the kernel computes, or None."""
        if self.definition is None or self.looks_first or isinstance(weight, (Layout, Memory)):
            return None
        return memory_of(weight, weight_bytes(&self.problem, self.itemsize))

    cdef object laid_out(self, weight, Memory unseen, int threads):
        """Return a weight as the kernel reads it, if it is not laid out already."""
        if isinstance(weight, (Layout, Memory)):
            return weight
        return self.lay_out(weight, threads) if unseen is None else self.new_layout(unseen, threads)

    cdef bint is_wrong(self, const void *result, Memory unseen):
        """Return whether a result was computed from a weight, not looked at before, that is not finite."""
        if self.problem.batch == 0:
            return False
        cdef bint gradient = self.cut.operation == INPUT_GRADIENT
        cdef const conv_problem *problem = &self.problem
        self.watched.channels = problem.in_channels if gradient else problem.out_channels
        self.watched.channel_step = in_channel_step(problem) if gradient else out_channel_step(problem)
        self.watched.position_step = in_position_step(problem) if gradient else out_position_step(problem)
        if box_is_finite(result, &self.watched, self.itemsize):
            return False
        return not weight_is_finite(unseen, self.itemsize)

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
        if self.tasks < 0:  # the number of tasks comes last: another thread may ask for it meanwhile
            self.scratch = self.cut.scratch_size(problem)
            self.tasks = self.cut.task_count(problem)
        return run_tasks(problem, functions.run, self.tasks, self.scratch, self.itemsize, threads)

    cdef int compute_input_gradient(self, grad_output, weight, bias, out, int threads) except -1:
        """Write the gradient of the input, or with a bias per channel the transposed convolution, to all of `out`.

        `weight` may be laid out already; `bias` may be None.
        """
        cdef conv_problem problem = self.problem
        cdef Memory grad_memory = memory_of(grad_output, y_bytes(&problem, self.itemsize))
        cdef Memory bias_memory = bias_of(bias, problem.in_channels * self.itemsize)
        cdef Memory out_memory = target_of(out, x_bytes(&problem, self.itemsize))
        problem.gradient = grad_memory.view.buf
        problem.bias = address_of(bias_memory)
        problem.output = out_memory.view.buf
        cdef Memory unseen = self.unseen(weight)
        laid_out = self.laid_out(weight, unseen, threads)
        cdef Memory not_finite = weight_not_finite(laid_out)
        if not_finite is None:
            self.compute(&problem, self.read_weight(&problem, laid_out), threads)
            if unseen is not None and self.is_wrong(problem.output, unseen):
                not_finite = unseen
        if not_finite is not None:
            self.definition(grad_memory, not_finite, bias_memory, out_memory, threads)
        return 0
