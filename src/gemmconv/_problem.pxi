"""Convolutions as the C layer takes them."""

# Weights of fewer are laid out by the caller alone.
cdef Py_ssize_t BYTES_WORTH_THREADS = 1 << 18


cdef const cutting *cutting_of(str name) except NULL:
    """Return how the kernel of that name cuts problems; its place in the table is that of the kernel."""
    for i in range(CONV_KERNELS):
        if cuttings[i].name == name.encode():
            return &cuttings[i]
    raise ValueError(f"there is no kernel {name!r}")


cdef conv_problem problem_of(geometry, tiling) except *:
    """Return a convolution in numbers, without arrays."""
    cdef conv_problem problem
    memset(&problem, 0, sizeof(problem))
    problem.batch = geometry.batch
    problem.in_channels = geometry.in_channels
    problem.out_channels = geometry.out_channels
    problem.groups = geometry.groups
    for axis in range(3):
        problem.in_size[axis] = geometry.in_size[axis]
        problem.out_size[axis] = geometry.out_size[axis]
        problem.kernel[axis] = geometry.kernel[axis]
        problem.stride[axis] = geometry.stride[axis]
        problem.dilation[axis] = geometry.dilation[axis]
        problem.pad_before[axis] = geometry.pad_before[axis]
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
    return problem.out_channels * reduction_length(problem) * itemsize


@cython.final
cdef class Problem:
    """One convolution of arrays of one type, cut into tasks: `geometry` and `tiling` are the Python objects.

    What multiplies needs a tiling; im2col and col2im do not. `run` computes by the named kernel; with `relu` it
    replaces what is below zero by zero. An image with a result of winograd that is not finite is computed anew by
    `exact`, which is the same problem for one image and another kernel.
    """

    cdef conv_problem problem
    cdef const cutting *cutting
    cdef readonly Py_ssize_t itemsize
    cdef readonly Problem exact
    cdef bint turned

    def __cinit__(
        self, geometry, Py_ssize_t itemsize, tiling=None, bint relu=False, str kernel="gemm_conv", Problem exact=None, bint turned=False
    ):
        self.turned = turned
        self.itemsize = itemsize
        self.exact = exact
        self.cutting = cutting_of(kernel)
        if (exact is None) == (kernel == "winograd"):
            raise ValueError("winograd, and no other kernel, needs an exact one beside it")
        self.problem = problem_of(geometry, tiling)
        self.problem.relu = relu

    @property
    def reads_image_in_place(self):
        """Whether the image itself serves as P."""
        return bool(reads_image_in_place(&self.problem))

    @property
    def kernel(self):
        """The name of the kernel that `run` computes by."""
        return self.cutting.name.decode()

    @property
    def task_count(self):
        """The number of tasks of one call."""
        return self.cutting.task_count(&self.problem)

    @property
    def column_task_counts(self):
        """The numbers of tasks of `im2col` and of `col2im`."""
        return im2col_task_count(&self.problem), col2im_task_count(&self.problem)

    @property
    def scratch_bytes(self):
        """The memory that a thread needs beside the arrays."""
        return self.cutting.scratch_size(&self.problem) * self.itemsize

    @property
    def layout_bytes(self):
        """The size of the laid-out weights; 0 if the kernel takes them as they are."""
        return self.cutting.layout_size(&self.problem) * self.itemsize

    cpdef lay_out(self, weight, int threads=1):
        """Return the weights as the kernel reads them: `weight` itself or a Layout. It serves any batch."""
        if self.turned:
            import numpy as np
            w = np.asarray(weight).reshape(self.problem.groups, self.problem.in_channels // self.problem.groups, self.problem.out_channels // self.problem.groups, -1)
            weight = np.ascontiguousarray(np.swapaxes(w[..., ::-1], 1, 2)) if not isinstance(weight, Memory) else weight
        cdef Memory memory = memory_of(weight, weight_bytes(&self.problem, self.itemsize))
        cdef Py_ssize_t size = self.cutting.layout_size(&self.problem) * self.itemsize
        if size == 0:
            return memory
        cdef Layout layout = Layout(size, memory if self.exact is not None else None)
        layout.kernels = self.kernels()
        cdef conv_problem problem = self.problem
        problem.weight = memory.view.buf
        problem.output = layout.data
        cdef operation lay_out = operation(layout.kernels.lay_out, self.cutting.layout_task_count(&problem), 0)
        if size < BYTES_WORTH_THREADS:
            threads = 1
        run_tasks(&problem, &lay_out, self.itemsize, threads)
        return layout

    def run(self, x, weight, bias, out, int threads=1):
        """Compute ``out = conv(x, weight) + bias`` on so many threads; all of `out` is written.

        `bias` may be None; `weight` may be laid out already.
        """
        cdef Memory bias_memory = None
        if bias is not None:
            bias_memory = memory_of(bias, self.problem.out_channels * self.itemsize)
        self.convolve(
            memory_of(x, x_bytes(&self.problem, self.itemsize)),
            weight if isinstance(weight, Layout) else self.lay_out(weight, threads),
            bias_memory,
            target_of(out, y_bytes(&self.problem, self.itemsize)),
            threads,
        )

    def run_plain(self, x, weight, Memory bias, out, int threads=1):
        """Do as `run` does with a result of `lay_out`, and return True; or return False, where it must not be done.

        That is where arrays are not contiguous, aligned and writable, or overlap. Their types have been checked.
        """
        cdef Memory x_memory, out_memory
        try:
            x_memory, out_memory = Memory(x), Memory(out)
        except (BufferError, ValueError):
            return False
        cdef size_t x_begin = <size_t>x_memory.view.buf, out_begin = <size_t>out_memory.view.buf
        if out_memory.view.readonly or (x_begin | out_begin) % self.itemsize:
            return False
        if x_begin < out_begin + out_memory.view.len and out_begin < x_begin + x_memory.view.len:
            return False
        self.convolve(x_memory, weight, bias, out_memory, threads)
        return True

    cdef int convolve(self, Memory x, weight, Memory bias, Memory out, int threads) except -1:
        cdef conv_problem problem = self.problem
        problem.blas = gemm_of(self.itemsize)
        problem.input = x.view.buf
        cdef const conv_kernels *kernels = self.kernels()
        cdef Layout layout = None
        if isinstance(weight, Layout):
            layout = weight
            kernels = layout.kernels
            if layout.size != self.layout_bytes:
                raise ValueError(f"a layout of {self.layout_bytes} bytes was expected, but one of {layout.size} came")
            problem.weight = layout.data
        else:
            problem.weight = (<Memory?>weight).view.buf
        problem.bias = bias.view.buf if bias is not None else NULL
        problem.output = out.view.buf
        if self.exact is None:
            return self.run_problem(&problem, kernels, threads)
        problem.not_finite = <note *>calloc(max(problem.batch, 1), 1)
        if problem.not_finite == NULL:
            raise MemoryError("no memory for a note on each image")
        try:
            self.run_problem(&problem, kernels, threads)
            self.mend(&problem, layout.weight, threads)
        finally:
            free(<void *>problem.not_finite)
        return 0

    cdef int mend(self, const conv_problem *problem, Memory weight, int threads) except -1:
        """Compute those images anew whose result is not finite."""
        cdef conv_problem one = self.exact.problem
        cdef Layout layout = None
        cdef ptrdiff_t image
        one.bias = problem.bias
        for image in range(problem.batch):
            if not problem.not_finite[image]:
                continue
            if layout is None:
                layout = self.exact.lay_out(weight, threads)
                one.weight = layout.data
            one.input = <const char *>problem.input + image * (x_bytes(&self.problem, self.itemsize) // problem.batch)
            one.output = <char *>problem.output + image * (y_bytes(&self.problem, self.itemsize) // problem.batch)
            self.exact.run_problem(&one, layout.kernels, threads)
            if PyErr_CheckSignals():
                return -1
        return 0

    cdef int run_problem(self, const conv_problem *problem, const conv_kernels *kernels, int threads) except -1:
        cdef operation convolution = operation(
            kernels.run, self.cutting.task_count(problem), self.cutting.scratch_size(problem)
        )
        return run_tasks(problem, &convolution, self.itemsize, threads)

    def im2col(self, x, columns, int threads=1):
        """Write P, the patch matrix of every image, to `columns`; the problem has one group."""
        cdef conv_problem problem = self.problem
        cdef Memory x_memory = memory_of(x, x_bytes(&self.problem, self.itemsize))
        cdef Memory columns_memory = target_of(columns, self.columns_bytes())
        problem.input = x_memory.view.buf
        problem.output = columns_memory.view.buf
        cdef operation im2col = operation(kernels_of(self.itemsize).im2col_run, im2col_task_count(&problem), 0)
        run_tasks(&problem, &im2col, self.itemsize, threads)

    def col2im(self, columns, out, int threads=1):
        """Write to `out` the sum of what `columns` holds for each element, where `im2col` reads it."""
        cdef conv_problem problem = self.problem
        cdef Memory columns_memory = memory_of(columns, self.columns_bytes())
        cdef Memory out_memory = target_of(out, x_bytes(&self.problem, self.itemsize))
        problem.input = columns_memory.view.buf
        problem.output = out_memory.view.buf
        cdef operation col2im = operation(kernels_of(self.itemsize).col2im_run, col2im_task_count(&problem), 0)
        run_tasks(&problem, &col2im, self.itemsize, threads)

    def pack_panel(self, image, rows, block):
        """Pack ``rows = P[k0:k1, p0:p1]`` of one group of one image; `block` is ``(k0, k1, p0, p1)``."""
        cdef panel panel = self.panel_of(block)
        cdef Memory source = memory_of(image, self.image_bytes())
        cdef Memory target = target_of(rows, self.panel_bytes(&panel))
        with nogil:
            kernels_of(self.itemsize).pack_panel(&self.problem, &panel, source.view.buf, target.view.buf)

    def add_panel(self, rows, image, block):
        """Add ``rows``, a block of P, to `image` at the places where `pack_panel` would have read it."""
        cdef panel panel = self.panel_of(block)
        cdef Memory source = memory_of(rows, self.panel_bytes(&panel))
        cdef Memory target = target_of(image, self.image_bytes())
        with nogil:
            kernels_of(self.itemsize).add_panel(&self.problem, &panel, source.view.buf, target.view.buf)

    cdef const conv_kernels *kernels(self):
        return &kernels_of(self.itemsize).conv[self.cutting - cuttings]

    cdef panel panel_of(self, block) except *:
        cdef panel panel
        panel.first_tap, panel.end_tap, panel.first_pixel, panel.end_pixel = block
        cdef ptrdiff_t taps = reduction_length(&self.problem), pixels = volume(self.problem.out_size)
        if not (0 <= panel.first_tap < panel.end_tap <= taps and 0 <= panel.first_pixel < panel.end_pixel <= pixels):
            raise ValueError(f"block {block} is not within P of {taps} rows and {pixels} columns")
        panel.ld = panel.end_pixel - panel.first_pixel
        return panel

    cdef Py_ssize_t panel_bytes(self, const panel *panel):
        return (panel.end_tap - panel.first_tap) * panel.ld * self.itemsize

    cdef Py_ssize_t image_bytes(self):
        return self.problem.in_channels // self.problem.groups * volume(self.problem.in_size) * self.itemsize

    cdef Py_ssize_t columns_bytes(self):
        return self.problem.batch * reduction_length(&self.problem) * volume(self.problem.out_size) * self.itemsize
