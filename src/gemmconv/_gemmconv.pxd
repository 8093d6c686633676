# cython: language_level=3
"""What the C headers declare, as Cython needs it."""


cdef extern from "<stdlib.h>" nogil:
    void *calloc(size_t count, size_t size)
    void free(void *pointer)


cdef extern from "<string.h>" nogil:
    void *memset(void *memory, int value, size_t size)


cdef extern from "memory.h" nogil:
    size_t CACHE_LINE
    void *allocate_lines(size_t size)
    void free_lines(void *lines)


cdef extern from "caches.h" nogil:
    struct cache_sizes_in_c "caches":
        ptrdiff_t l2, l3

    cache_sizes_in_c caches


cdef extern from "<unistd.h>" nogil:
    int pause()


cdef extern from "channels/direct_channels.h" nogil:
    int CHANNEL_BLOCK_IN_C "CHANNEL_BLOCK"
    int CHANNELS_BAND_IN_C "CHANNELS_BAND"
    int CHANNELS_SLICE_IN_C "CHANNELS_SLICE"


cdef extern from "channels/dense_channels.h" nogil:
    int DENSE_BLOCK_IN_C "DENSE_BLOCK"
    int DENSE_BLOCKS_IN_C "DENSE_BLOCKS"


cdef extern from "panels/panels.h" nogil:
    int PANELS_PIXELS_IN_C "PANELS_PIXELS"
    int PANELS_TAPS_IN_C "PANELS_TAPS"


cdef extern from "pixels/direct_pixels.h" nogil:
    int PIXELS_PLANES_IN_C "PIXELS_PLANES"
    int PIXELS_SLICE_IN_C "PIXELS_SLICE"
    int PIXELS_VECTORS_IN_C "PIXELS_VECTORS"


cdef extern from "fft/fft.h" nogil:
    int FFT_ELEMENTS_IN_C "FFT_ELEMENTS"
    int FFT_LEAST_IN_C "FFT_LEAST"


cdef extern from "problem.h" nogil:
    int LARGEST_SCRATCH_IN_C "LARGEST_SCRATCH"
    int LONGEST_VECTOR_IN_C "LONGEST_VECTOR"
    ctypedef void gemm_int32
    ctypedef void gemm_int64

    struct tiling:
        ptrdiff_t pixels, block, panel, channels, taps

    struct blas:
        gemm_int32 *gemm32
        gemm_int64 *gemm64
        const void *zero
        const void *one

    ctypedef unsigned char note "_Atomic unsigned char"

    struct phases

    struct conv_problem:
        ptrdiff_t batch, in_channels, out_channels, groups
        ptrdiff_t in_size[3]
        ptrdiff_t out_size[3]
        ptrdiff_t kernel[3]
        ptrdiff_t stride[3]
        ptrdiff_t dilation[3]
        ptrdiff_t pad_before[3]
        tiling tiling
        blas blas
        const void *input
        const void *gradient
        const void *weight
        const void *bias
        void *output
        int relu
        int transposed
        ptrdiff_t parts
        note *not_finite
        const phases *phases
        ptrdiff_t itemsize
        int channels_last

    struct interval:
        ptrdiff_t first, end

    ptrdiff_t volume(const ptrdiff_t *size)
    ptrdiff_t reduction_length(const conv_problem *problem)
    ptrdiff_t in_channel_step(const conv_problem *problem)
    ptrdiff_t in_position_step(const conv_problem *problem)
    ptrdiff_t out_channel_step(const conv_problem *problem)
    ptrdiff_t out_position_step(const conv_problem *problem)
    ptrdiff_t weight_size(const conv_problem *problem)


cdef extern from "gemm/im2col.h" nogil:
    struct panel:
        ptrdiff_t first_tap, end_tap, first_pixel, end_pixel, ld

    ptrdiff_t im2col_task_count(const conv_problem *problem)
    ptrdiff_t col2im_task_count(const conv_problem *problem)


cdef extern from "gemm/gemm_conv.h" nogil:
    bint reads_image_in_place(const conv_problem *problem)


cdef extern from "phases/turn.h" nogil:
    ptrdiff_t turn_task_count(const conv_problem *problem)


cdef extern from "parts.h" nogil:
    ptrdiff_t sum_parts_task_count(const conv_problem *problem)


cdef extern from "dispatch.h" nogil:
    ctypedef void task_kernel(const conv_problem *, ptrdiff_t task, void *scratch) noexcept nogil

    enum operation:
        CONVOLUTION, INPUT_GRADIENT, WEIGHT_GRADIENT

    int KERNEL_COUNT

    struct cut:
        const char *name
        operation operation
        ptrdiff_t (*parts)(const conv_problem *problem) noexcept nogil
        ptrdiff_t (*task_count)(const conv_problem *problem) noexcept nogil
        ptrdiff_t (*scratch_size)(const conv_problem *problem) noexcept nogil
        ptrdiff_t (*layout_size)(const conv_problem *problem) noexcept nogil
        ptrdiff_t (*layout_task_count)(const conv_problem *problem) noexcept nogil
        bint (*fits)(const conv_problem *problem) noexcept nogil

    const cut *cuts

    struct kernel_functions:
        task_kernel *run
        task_kernel *lay_out

    struct typed_kernels:
        kernel_functions *kernels
        task_kernel *turn
        task_kernel *stack
        task_kernel *sum_parts
        task_kernel *im2col
        task_kernel *col2im
        void (*pack_panel)(const conv_problem *, const panel *, const void *image, void *rows) noexcept nogil
        void (*add_panel)(const conv_problem *, const panel *, const void *rows, void *image) noexcept nogil
        double (*fma_burst)(ptrdiff_t rounds) noexcept nogil

    struct kernels:
        const char *isa
        const typed_kernels *float32
        const typed_kernels *float64

    const kernels *supported_kernels(int index)
    const kernels *active_kernels()
    int select_kernels(const char *isa)


cdef extern from "phases/phases.h" nogil:
    struct phase_class:
        conv_problem problem
        int kernel
        ptrdiff_t block, first_group, first_channel
        ptrdiff_t first_phase[3]
        ptrdiff_t phases[3]
        ptrdiff_t lead[3]
        interval inside[3]

    struct phase_block:
        ptrdiff_t first_group, groups, first_channel, channels
        interval residues
        const phase_class *classes
        ptrdiff_t class_count

    struct phases:
        phase_block *blocks
        const phase_class *classes
        ptrdiff_t block_count, class_count
        interval positions[3]
        ptrdiff_t band[3]
        ptrdiff_t stacked, layout, stack_tasks
        int stacks

    ptrdiff_t phases_stack_scratch_size(const conv_problem *problem)
    void phases_prepare(const conv_problem *problem, phases *phases, phase_class *classes)


cdef extern from "thread_pool.h" nogil:
    struct job:
        void (*run)(const void *context, ptrdiff_t task, int thread) noexcept nogil
        int (*keep_going)(void *state) noexcept nogil
        const void *context
        void *state
        ptrdiff_t task_count
        int outlives_closing
        int in_shares

    void thread_pool_close()
    int thread_pool_is_closed()
    int thread_pool_run(const job *job, int threads)
    int gemmconv_get_num_threads()
    void gemmconv_set_num_threads(int threads)
    void thread_pool_set_processors(int count)
    int MAX_THREADS_IN_C "MAX_THREADS"


# Without Cython's "except": an exception stays set until the call has come back from C.
cdef extern from "Python.h":
    ptrdiff_t PY_SSIZE_T_MAX
    int PyErr_CheckSignals()
    unsigned long PyThread_get_thread_ident()


cdef extern from "transposition.h" nogil:
    struct transposition:
        ptrdiff_t count, rows, columns
        const void *from_ "from"
        void *to

    ptrdiff_t transposition_task_count(const transposition *transposition)
    void transpose_task_float32(const void *transposition, ptrdiff_t task, int thread)
    void transpose_task_float64(const void *transposition, ptrdiff_t task, int thread)

    struct products_with_i:
        ptrdiff_t count, size
        const void *from_ "from"
        void *to
        int are_added

    ptrdiff_t times_i_task_count(const products_with_i *products)
    void times_i_task_float32(const void *products, ptrdiff_t task, int thread)
    void times_i_task_float64(const void *products, ptrdiff_t task, int thread)


cdef extern from "extension.h" nogil:
    struct extended_axis:
        ptrdiff_t size, extended, first, start, middle
        const ptrdiff_t *border

    struct extension:
        extended_axis axes[3]
        ptrdiff_t count
        void *images
        void *extended
        double value

    ptrdiff_t extension_task_count(const extension *extension)
    void extend_task_float32(const void *extension, ptrdiff_t task, int thread) noexcept nogil
    void extend_task_float64(const void *extension, ptrdiff_t task, int thread) noexcept nogil
    void fold_task_float32(const void *extension, ptrdiff_t task, int thread) noexcept nogil
    void fold_task_float64(const void *extension, ptrdiff_t task, int thread) noexcept nogil
