"""The gradient of the input by phases, as the C layer takes it."""


@cython.final
cdef class Phases(Computation):
    """The gradient of the input of one convolution of arrays of one type: `cut` comes from phases.py."""

    cdef phases phases
    cdef phase_block *blocks
    cdef phase_class *classes

    def __cinit__(self, geometry, Py_ssize_t itemsize, cut):
        self.prepare(geometry, None, itemsize, "phases", INPUT_GRADIENT)
        self.problem.phases = &self.phases
        self.problem.channels_last = cut.channels_last
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
                set_class(&self.classes[number], block, made, itemsize)
                self.classes[number].block = i
                number += 1
        phases_prepare(&self.problem, &self.phases, self.classes)

    def __dealloc__(self):
        free(self.blocks)
        free(self.classes)

    cdef object new_layout(self, Memory weight, int threads):
        cdef Layout layout = Layout(self.layout_bytes, None)
        layout.functions = self.functions()
        cdef conv_problem problem = self.problem
        problem.weight, problem.output = weight.view.buf, layout.data
        cdef ptrdiff_t scratch_size = phases_stack_scratch_size(&problem)
        cdef void *stacked = allocate(self.phases.stacked * self.itemsize if self.phases.stacks else 0)
        try:
            if stacked != NULL:
                self.stack(weight, stacked, threads)
            problem.input = stacked
            run_tasks(
                &problem,
                layout.functions.lay_out,
                self.cut.layout_task_count(&problem),
                scratch_size,
                self.itemsize,
                threads_for(layout.size, threads),
            )
        finally:
            free_lines(stacked)
        return layout

    cdef int stack(self, Memory weight, void *stacked, int threads) except -1:
        """Write the weights of all classes that are stacked, as csrc/phases/phases.h says."""
        cdef conv_problem problem = self.problem
        problem.weight, problem.output = weight.view.buf, stacked
        return run_tasks(
            &problem,
            kernels_of(self.itemsize).stack,
            self.phases.stack_tasks,
            phases_stack_scratch_size(&problem),
            self.itemsize,
            threads_for(weight.view.len, threads),
        )

    def run(self, grad_output, weight, bias, out, int threads=1):
        """Compute the gradient of the input from that of the output, plus a bias per channel or None.

        All of `out` is written; `weight` may be laid out already.
        """
        self.compute_input_gradient(grad_output, weight, bias, out, threads)


cdef int set_block(phase_block *block, made) except -1:
    block.first_group, block.groups = made.first_group, made.groups
    block.first_channel, block.channels = made.first_channel, made.channels
    block.residues.first, block.residues.end = made.residues
    block.class_count = len(made.classes)
    return 0


cdef int set_class(phase_class *target, block, made, Py_ssize_t itemsize) except -1:
    target.problem = problem_of(made.geometry, made.tiling, itemsize)
    target.kernel = <int>(cut_of(made.kernel.name, CONVOLUTION) - cuts)
    target.first_group, target.first_channel = block.first_group, block.first_channel
    for axis in range(3):
        target.first_phase[axis] = made.first_phase[axis]
        target.phases[axis] = made.phases[axis]
        target.lead[axis] = made.lead[axis]
        target.inside[axis].first, target.inside[axis].end = made.inside[axis]
    return 0
