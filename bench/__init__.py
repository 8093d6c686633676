"""The benchmark: every problem is checked whole, then timed, beside other libraries.

Nothing here is needed to compute a convolution. The command `gemmconv bench` uses it; ``bench/`` of
the repository is installed as `gemmconv.bench`. The way through it:

==================  ==========================================================================
``suites/*.txt``    the problems, one line of text each
``problems.py``     one line of text <-> `Problem`: shapes, operations, data
``operations.py``   what of a problem may be computed: the convolution, a gradient, the transpose
``peers/``          the libraries, one small module each, behind one interface
``worker.py``       the process of one library: prepare, check, time
``process.py``      one worker per library, one of them active at a time, rounds interleaved
``results.py``      what came out: medians, ratios, totals, JSON
``report.py``       the same as tables
``comparison.py``   a run beside an earlier one
``plots.py``        pictures: the ratios and a roofline; time against one quantity
``scaling.py``      time against threads, batch, sizes and taps
``terminal.py``     tables and progress, with rich or as plain text
``roofs.py``        the peak and the bandwidth of the machine
``arguments.py``    the options of the command
``command.py``      the command `gemmconv bench`
``explain.py``      a command of its own: ``gemmconv explain``, its page, large layers
``studies/``        commands of their own: which way is fastest, errors, the convolution as a matrix
==================  ==========================================================================
"""
