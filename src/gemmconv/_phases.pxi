"""The gradient of the input by phases, as the C layer takes it."""


@cython.final
cdef class Phases:
    """The gradient of the input of one convolution of arrays of one type: `cut` comes from phases.py."""

    cdef conv_problem problem
    cdef phases phases
    cdef phase_block *blocks
    cdef phase_class *classes
    cdef readonly Py_ssize_t itemsize

    def __cinit__(self, geometry, Py_ssize_t itemsize, cut):
        self.itemsize = itemsize
        self.problem = problem_of(geometry, None)
        self.problem.phases = &self.phases
        self.phases.block_count = len(cut.blocks)
        self.phases.class_count = sum([len(block.classes) for block in cut.blocks])
        self.blocks = <phase_block *>calloc(self.phases.block_count, sizeof(phase_block))
        self.classes = <phase_class *>calloc(self.phases.class_count + 1, sizeof(phase_class))
        if self.blocks == NULL or self.classes == NULL:
            raise MemoryError("no memory for the classes of phases")
        self.phases.blocks, self.phases.classes = self.blocks, self.classes
        for axis in range(3):
            self.phases.positions[axis].first, self.phases.positions[axis].end = cut.positions[axis]
            self.phases.band[axis] = cut.band[axis]
        cdef ptrdiff_t number = 0
        for i, block in enumerate(cut.blocks):
            set_block(&self.blocks[i], block)
            self.blocks[i].classes = self.classes + number
            for made in block.classes:
                set_class(&self.classes[number], block, made)
                self.classes[number].block = i
                number += 1
        phases_prepare(&self.problem, &self.phases, self.classes)

    def __dealloc__(self):
        free(self.blocks)
        free(self.classes)

    @property
    def task_count(self):
        """The number of tasks of one call."""
        return phases_task_count(&self.problem)

    @property
    def scratch_bytes(self):
        """The memory that a thread needs beside the arrays."""
        return phases_scratch_size(&self.problem) * self.itemsize

    @property
    def layout_bytes(self):
        """The size of the laid-out weights."""
        return self.phases.layout * self.itemsize

    def stack(self, weight, out, int threads=1):
        """Write the weights of all classes to `out`: the channels exchanged, the taps in reverse."""
        cdef Memory memory = memory_of(weight, weight_bytes(&self.problem, self.itemsize))
        cdef Memory target = target_of(out, self.phases.stacked * self.itemsize)
        self.stack_into(memory, target.view.buf, threads)

    def lay_out(self, weight, int threads=1):
        """Return the weights as `run` reads them. They serve any batch."""
        cdef Memory memory = memory_of(weight, weight_bytes(&self.problem, self.itemsize))
        cdef Layout layout = Layout(self.layout_bytes, None)
        layout.kernels = &kernels_of(self.itemsize).phases
        cdef conv_problem problem = self.problem
        cdef operation lay_out = operation(
            layout.kernels.lay_out, self.phases.layout_tasks, phases_stack_scratch_size(&problem)
        )
        if self.layout_bytes < BYTES_WORTH_THREADS:
            threads = 1
        cdef void *stacked = allocate(self.phases.stacked * self.itemsize if self.phases.stacks else 0)
        try:
            if self.phases.stacks:
                self.stack_into(memory, stacked, threads)
            problem.input, problem.weight = stacked, memory.view.buf
            problem.output = layout.data
            run_tasks(&problem, &lay_out, self.itemsize, threads)
        finally:
            free_lines(stacked)
        return layout

    def run(self, grad_output, weight, bias, out, int threads=1):
        """Compute the gradient of the input, plus `bias`, one for each of its channels, which may be None.

        All of `out` is written; `weight` may be laid out already.
        """
        cdef conv_problem problem = self.problem
        cdef Memory grad_memory = memory_of(grad_output, y_bytes(&self.problem, self.itemsize))
        cdef Memory out_memory = target_of(out, x_bytes(&self.problem, self.itemsize))
        cdef Memory bias_memory = None
        if bias is not None:
            bias_memory = memory_of(bias, problem.in_channels * self.itemsize)
            problem.bias = bias_memory.view.buf
        cdef Layout layout = weight if isinstance(weight, Layout) else self.lay_out(weight, threads)
        if layout.size != self.layout_bytes:
            raise ValueError(f"a layout of {self.layout_bytes} bytes was expected, but one of {layout.size} came")
        problem.gradient = grad_memory.view.buf
        problem.weight = layout.data
        problem.output = out_memory.view.buf
        cdef operation phases = operation(
            layout.kernels.run, phases_task_count(&problem), phases_scratch_size(&problem)
        )
        run_tasks(&problem, &phases, self.itemsize, threads)

    cdef int stack_into(self, Memory weight, void *stacked, int threads) except -1:
        cdef conv_problem problem = self.problem
        problem.weight = weight.view.buf
        problem.output = stacked
        cdef operation stack = operation(
            kernels_of(self.itemsize).phases_stack, self.phases.stack_tasks, phases_stack_scratch_size(&problem)
        )
        if weight.view.len < BYTES_WORTH_THREADS:
            threads = 1
        return run_tasks(&problem, &stack, self.itemsize, threads)


cdef int set_block(phase_block *block, made) except -1:
    block.first_group, block.groups = made.first_group, made.groups
    block.first_channel, block.channels = made.first_channel, made.channels
    block.residues.first, block.residues.end = made.residues
    block.class_count = len(made.classes)
    return 0


cdef int set_class(phase_class *number, block, made) except -1:
    number.problem = problem_of(made.geometry, made.tiling)
    number.kernel = <int>(cutting_of(made.kernel.name) - cuttings)
    number.first_group, number.first_channel = block.first_group, block.first_channel
    for axis in range(3):
        number.first_phase[axis] = made.first_phase[axis]
        number.phases[axis] = made.phases[axis]
        number.lead[axis] = made.lead[axis]
        number.inside[axis].first, number.inside[axis].end = made.inside[axis]
    return 0
