"""Convolutions as the C layer takes them."""


@cython.final
cdef class Problem(Computation):
    """One convolution of arrays of one type, cut into tasks: `geometry` and `tiling` are the Python objects.

    `run` computes by the named kernel and needs a tiling; im2col and col2im do not. With `relu` it replaces negative
    results by zero. If a result of winograd or fft is not finite, its image is computed again by `exact`, which is the
    same problem for one image and another kernel.

    With `turned` the convolution is the input gradient of another one with stride 1. Then `lay_out` and `run` take the
    weight of that one, (O, C/groups, *kernel), and turn it first (see csrc/phases/turn.h), unless the kernel can read
    it as it is. `channels_last` says that the channels are the last axis of x and of the result.
    """

    cdef readonly Problem exact
    cdef readonly bint turned

    def __cinit__(
        self,
        geometry,
        Py_ssize_t itemsize,
        tiling=None,
        bint relu=False,
        str kernel="gemm_conv",
        Problem exact=None,
        bint turned=False,
        bint channels_last=False,
    ):
        self.prepare(geometry, tiling, itemsize, kernel, CONVOLUTION)
        self.problem.relu = relu
        self.problem.channels_last = channels_last
        # of a 1x1 kernel, the turned weight is the transpose, which panels can read in place
        self.problem.transposed = turned and kernel == "panels" and volume(self.problem.kernel) == 1
        self.exact = exact
        self.turned = turned
        if (exact is None) == (kernel in ("winograd", "fft")):
            raise ValueError("winograd and fft, and no other kernels, need an exact one beside them")
        if exact is not None and exact.turned != turned:
            raise ValueError("of a problem and its exact one, both or neither are turned")

    @property
    def reads_image_in_place(self):
        """Whether the image itself serves as P."""
        return bool(reads_image_in_place(&self.problem))

    @property
    def column_task_counts(self):
        """The numbers of tasks of `im2col` and of `col2im`."""
        return im2col_task_count(&self.problem), col2im_task_count(&self.problem)

    cdef ptrdiff_t layout_size(self):
        cdef ptrdiff_t size = self.cut.layout_size(&self.problem)
        if self.turned and size == 0 and not self.problem.transposed:
            return weight_size(&self.problem)
        return size

    cdef object new_layout(self, Memory weight, int threads):
        cdef Py_ssize_t size = self.layout_size() * self.itemsize
        if size == 0:
            return weight
        cdef Layout layout = Layout(size, weight if self.exact is not None else None)
        layout.functions = self.functions()
        if not self.turned:
            self.write_layout(weight.view.buf, layout, threads)
        elif self.cut.layout_size(&self.problem) == 0:
            self.turn(weight, layout.data, threads)
        else:
            self.turn_and_write_layout(weight, layout, threads)
        return layout

    cdef int turn_and_write_layout(self, Memory weight, Layout layout, int threads) except -1:
        cdef void *turned = allocate(weight.view.len)
        try:
            self.turn(weight, turned, threads)
            return self.write_layout(turned, layout, threads)
        finally:
            free_lines(turned)

    cdef int turn(self, Memory weight, void *turned, int threads) except -1:
        cdef conv_problem problem = self.problem
        problem.weight, problem.output = weight.view.buf, turned
        threads = threads_for(weight.view.len, threads)
        return run_tasks(
            &problem, kernels_of(self.itemsize).turn, turn_task_count(&problem), 0, self.itemsize, threads
        )

    cdef int write_layout(self, const void *weight, Layout layout, int threads) except -1:
        cdef conv_problem problem = self.problem
        problem.weight, problem.output = weight, layout.data
        threads = threads_for(layout.size, threads)
        return run_tasks(
            &problem, layout.functions.lay_out, self.cut.layout_task_count(&problem), 0, self.itemsize, threads
        )

    def run(self, x, weight, bias, out, int threads=1):
        """Compute ``out = conv(x, weight) + bias`` on at most `threads` threads; all of `out` is written.

        `bias` may be None; `weight` may be laid out already.
        """
        cdef Memory x_memory = memory_of(x, x_bytes(&self.problem, self.itemsize))
        cdef Memory bias_memory = bias_of(bias, self.problem.out_channels * self.itemsize)
        cdef Memory out_memory = target_of(out, y_bytes(&self.problem, self.itemsize))
        cdef Memory unseen = self.unseen(weight)
        self.convolve(x_memory, self.laid_out(weight, unseen, threads), bias_memory, out_memory, threads, unseen)

    def run_plain(self, x, weight, Memory bias, out, int threads=1):
        """Do as `run` does with a result of `lay_out`, and return True; or return False and do nothing.

        It does nothing if arrays are not contiguous, aligned and writable, or if they overlap. Their types and shapes
        have been checked.
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
        self.convolve(x_memory, weight, bias, out_memory, threads, None)
        return True

    cdef int convolve(self, Memory x, weight, Memory bias, Memory out, int threads, Memory unseen) except -1:
        """Compute with a result of `lay_out`, or of `new_layout` from a weight `unseen`."""
        cdef Memory not_finite = weight_not_finite(weight)
        if not_finite is None:
            self.convolve_finite(x, weight, bias, out, threads, unseen)
            if unseen is not None and self.is_wrong(out.view.buf, unseen):
                not_finite = unseen
        if not_finite is not None:
            self.definition(x, not_finite, bias, out, threads)
        return 0

    cdef int convolve_finite(self, Memory x, weight, Memory bias, Memory out, int threads, Memory unseen) except -1:
        """Do as `convolve` does, for a weight that is finite. The result for another `unseen` one is not finite."""
        cdef conv_problem problem = self.problem
        cdef const kernel_functions *functions = self.read_weight(&problem, weight)
        problem.input = x.view.buf
        problem.bias = address_of(bias)
        problem.output = out.view.buf
        if self.exact is None:
            return self.compute(&problem, functions, threads)
        problem.not_finite = <note *>calloc(max(problem.batch, 1), 1)
        if problem.not_finite == NULL:
            raise MemoryError("no memory for a note on each image")
        try:
            self.compute(&problem, functions, threads)
            self.mend(&problem, (<Layout>weight).weight, threads, unseen)
        finally:
            free(<void *>problem.not_finite)
        return 0

    cdef int mend(self, const conv_problem *problem, Memory weight, int threads, Memory unseen) except -1:
        """Compute those images again whose result is not finite, unless that is because a weight is not finite."""
        cdef conv_problem one = self.exact.problem
        cdef const kernel_functions *functions = NULL
        cdef ptrdiff_t image
        one.bias = problem.bias
        for image in range(problem.batch):
            if problem.not_finite[image] == 0:
                continue
            if functions == NULL:
                if unseen is not None and not weight_is_finite(unseen, self.itemsize):
                    return 0
                laid_out = self.exact.new_layout(weight, threads)
                functions = self.exact.read_weight(&one, laid_out)
            one.input = <const char *>problem.input + image * (x_bytes(&self.problem, self.itemsize) // problem.batch)
            one.output = <char *>problem.output + image * (y_bytes(&self.problem, self.itemsize) // problem.batch)
            self.exact.compute(&one, functions, threads)
            if PyErr_CheckSignals():
                return -1
        return 0

    def im2col(self, x, columns, int threads=1):
        """Write P, the patch matrix of every image, to `columns`; the problem has one group."""
        cdef conv_problem problem = self.problem
        cdef Memory x_memory = memory_of(x, x_bytes(&self.problem, self.itemsize))
        cdef Memory columns_memory = target_of(columns, self.columns_bytes())
        problem.input, problem.output = x_memory.view.buf, columns_memory.view.buf
        run_tasks(
            &problem, kernels_of(self.itemsize).im2col, im2col_task_count(&problem), 0, self.itemsize, threads
        )

    def col2im(self, columns, out, int threads=1):
        """Write to `out` the sum of what `columns` holds for each element, where `im2col` reads it."""
        cdef conv_problem problem = self.problem
        cdef Memory columns_memory = memory_of(columns, self.columns_bytes())
        cdef Memory out_memory = target_of(out, x_bytes(&self.problem, self.itemsize))
        problem.input, problem.output = columns_memory.view.buf, out_memory.view.buf
        run_tasks(
            &problem, kernels_of(self.itemsize).col2im, col2im_task_count(&problem), 0, self.itemsize, threads
        )

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
