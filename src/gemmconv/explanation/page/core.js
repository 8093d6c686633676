"use strict";
/* The arithmetic of a convolution (a cross-correlation, unless flip) of one to three axes. It does not know the page.

   A transposed convolution is the input gradient of a convolution. In `walk` and what `work` returns, rows, pixels,
   channels and positions are those of that convolution: its input is y, its output x. Tap t of output o reads element
   o * stride + t * dilation of the padded axis; g.from[axis] says which element of the input this is, or -1. There are
   always three axes; those that the convolution does not have come first. */
const core = (() => {
  const MODES = ["zeros", "reflect", "edge", "wrap", "symmetric"];
  const NAMES = ["valid", "same", "same_lower", "full", "causal"];
  const AXES = ["L", "H, W", "D, H, W"], TAPS = ["KL", "KH, KW", "KD, KH, KW"];
  const LARGEST = 1 << 24; // outputs, and positions of a padded axis

  /** What makes no sense. The message names the number to change. */
  class Misfit extends Error {
    name = "Misfit";
  }

  /** Throws unless something holds. */
  function need(holds, message) {
    if (!holds) throw new Misfit(message);
  }

  /** Returns the product of numbers. */
  const product = numbers => numbers.reduce((a, b) => a * b, 1);

  /** Returns a list as Python writes a tuple. */
  const tuple = list => `(${list.join(", ")}${list.length === 1 ? "," : ""})`;

  /** Returns names in quotes. */
  const quoted = names => names.map(name => `'${name}'`).join(", ");

  /** Returns the element of an axis that a position repeats, or -1. */
  function extended(mode, position, size) {
    if (position >= 0 && position < size) return position;
    if (mode === "zeros") return -1;
    if (mode === "edge") return position < 0 ? 0 : size - 1;
    const period = {wrap: size, symmetric: 2 * size, reflect: Math.max(2 * size - 2, 1)}[mode];
    const within = (position % period + period) % period;
    return mode === "wrap" ? within : Math.min(within, period - (mode === "symmetric") - within);
  }

  /** Throws unless an option has a whole number, at least `least`, for each axis. */
  function checkInts(name, numbers, rank, least) {
    need(numbers.length === rank, `${name} must be an int or one int per spatial axis, of which there are ${rank}, ` +
      `not ${tuple(numbers)}`);
    for (const n of numbers) need(Number.isInteger(n) && n >= least, `${name} must be at least ${least}, not ${n}`);
  }

  /** Throws if there are too many of something. */
  function limit(what, number) {
    need(number <= LARGEST, `${what} would have ${number} positions, but at most ${LARGEST} are possible`);
  }

  /** Throws unless the shapes of x and weight fit each other. */
  function checkShapes({x, weight, groups, transposed}) {
    const [first, second, ...kernel] = weight.shape, rank = kernel.length, channels = x.shape[0];
    const [kind, order] = transposed ? ["transposed ", "C, O"] : ["", "O, C"];
    const forms = TAPS.map(taps => `(${order}/groups, ${taps})`), form = forms[rank - 1];
    need(form, `weight has shape ${tuple(weight.shape)}, but a ${kind}convolution needs ${forms.join(" or ")}`);
    need(x.shape.length === rank + 1, `x has shape ${tuple(x.shape)}, but with weight of shape ` +
      `${tuple(weight.shape)} it must be (C, ${AXES[rank - 1]})`);
    for (const [name, {shape, data}] of Object.entries({x, weight})) {
      need(shape.every(n => Number.isInteger(n) && n > 0), `${name} has shape ${tuple(shape)}: no axis may be empty`);
      need(data.length === product(shape), `${name} has ${data.length} numbers, but shape ${tuple(shape)}`);
    }
    checkInts("groups", [groups], 1, 1);
    need(channels % groups === 0, `groups=${groups} does not divide the ${channels} input channels of x`);
    const taken = transposed ? first : second, given = transposed ? "" : ` (groups=${groups})`;
    const rule = transposed ? `the weight of a transposed convolution is ${form}`
      : `weight.shape[1] = channels of x / groups = ${channels / groups}`;
    need(first % groups === 0 || transposed, `groups=${groups} does not divide the ${first} output channels of weight`);
    need(taken === channels / (transposed ? 1 : groups), `weight has ${taken} input channels, but x has ` +
      `${channels}${given}; rule: ${rule}`);
  }

  /** Throws unless the options fit the number of axes and each other. */
  function checkOptions({modes, value, stride, dilation, outputPadding, padding, flip, transposed}, rank) {
    checkInts("stride", stride, rank, 1);
    checkInts("dilation", dilation, rank, 1);
    checkInts("output_padding", outputPadding, rank, 0);
    need(transposed || !outputPadding.some(Boolean), "output_padding is for transposed convolutions");
    need(!transposed || !flip && value === 0, "a transposed convolution has neither flip nor padding_value");
    need(modes.length === rank, "padding_mode must be a string or one string per spatial axis");
    for (const mode of modes) need(MODES.includes(mode), `padding_mode must be one of ${quoted(MODES)}, not '${mode}'`);
    need(value === 0 || modes.includes("zeros"), `padding_value=${value} is for padding_mode='zeros'`);
    if (typeof padding === "string") {
      const [names, whose] = transposed ? [NAMES.slice(0, 3), " of a transposed convolution"] : [NAMES, ""];
      need(names.includes(padding), `padding${whose} must be numbers or one of the names ${quoted(names)}, ` +
        `not '${padding}'`);
      need(padding !== "causal" || rank === 1, "padding='causal' is for 1-D convolutions");
    } else {
      need(padding.length === rank, "padding must be an int, a name, or one int or (before, after) pair per spatial " +
        `axis, of which there are ${rank}`);
      for (const pair of padding) checkInts("padding", pair, 2, -LARGEST);
    }
  }

  /** Returns [before, after] along an axis. */
  function resolved(padding, axis, size, extent, stride) {
    if (typeof padding !== "string") return padding[axis];
    if (padding === "valid") return [0, 0];
    if (padding === "full") return [extent - 1, extent - 1];
    if (padding === "causal") return [extent - 1, 0];
    const total = Math.max(0, (Math.ceil(size / stride) - 1) * stride + extent - size), less = Math.floor(total / 2);
    return padding === "same" ? [less, total - less] : [total - less, less];
  }

  /** Returns [before, after, size of y] along an axis. */
  function forwardAxis({padding, stride}, axis, size, extent) {
    const pads = resolved(padding, axis, size, extent, stride[axis]), padded = size + pads[0] + pads[1];
    need(padded >= extent, `the kernel covers ${extent} positions of spatial axis ${axis}, but the padded input has ` +
      `${padded} (input ${size}, padding ${tuple(pads)}); rule: input + padding >= dilation * (kernel - 1) + 1`);
    return [...pads, Math.floor((padded - extent) / stride[axis]) + 1];
  }

  /** Returns [before, after, size of y] along an axis of a transposed convolution. */
  function transposedAxis({padding, stride, dilation, outputPadding}, axis, size, extent) {
    const step = stride[axis], more = outputPadding[axis], most = Math.max(step, dilation[axis]);
    const all = (size - 1) * step + extent, [before, after] = resolved(padding, axis, size * step, extent, step);
    if (padding === "same" || padding === "same_lower") {
      need(!more, `padding='${padding}' makes the output stride times as large as the input: output_padding cannot ` +
        "be given as well");
      return [before, all - size * step - before, size * step];
    }
    const least = all - before - after, positions = least + Math.min(more, most - 1);
    need(positions >= 1, `the output would have ${positions} positions along spatial axis ${axis}; rule: (input - 1) ` +
      "* stride - before - after + dilation * (kernel - 1) + output_padding + 1 >= 1; give less padding");
    need(more < most, `output_padding is ${more} along spatial axis ${axis}, but must be less than max(stride, ` +
      `dilation) = ${most}; for a longer output give less padding after it`);
    return [before, after, least + more];
  }

  /** Returns what geometry and walk need, or throws a Misfit. */
  function work(problem) {
    const {x, weight, bias, grad, transposed, groups, stride, dilation, outputPadding, modes} = problem;
    const kernel = weight.shape.slice(2), sizes = x.shape.slice(1), rank = kernel.length;
    checkShapes(problem);
    checkOptions(problem, rank);
    const extents = kernel.map((k, axis) => (k - 1) * dilation[axis] + 1);
    const axes = sizes.map((n, axis) => (transposed ? transposedAxis : forwardAxis)(problem, axis, n, extents[axis]));
    const results = axes.map(axis => axis[2]), channels = transposed ? weight.shape[1] * groups : weight.shape[0];
    const outputs = [channels, ...results], count = product(outputs);
    limit("the output", count);
    need(!bias || bias.length === channels, `bias has shape (${bias?.length},), but weight has ${channels} output ` +
      "channels");
    need(!grad || grad.length === count, `grad_output has ${grad?.length} numbers, but the output ${count}`);
    const [read, written] = transposed ? [results, sizes] : [sizes, results];
    const from = read.map((n, axis) => {
      // with output_padding this is more than the taps reach
      const [before, after] = axes[axis], padded = before + n + after;
      limit("the padded input", padded);
      return Int32Array.from({length: padded}, (_, at) => extended(modes[axis], at - before, n));
    });
    const three = (list, fill) => [...Array(3 - rank).fill(fill), ...list];
    return {
      rank, inputs: x.shape, outputs, kernel, pads: axes.map(axis => axis.slice(0, 2)), extents,
      formula: axes.map(([before, after, size], axis) =>
        [sizes[axis], before, after, dilation[axis], kernel[axis], stride[axis], outputPadding[axis], size]),
      transposed, flip: problem.flip, rows: weight.shape[0], perGroup: weight.shape[0] / groups, depth: weight.shape[1],
      channels: weight.shape[1] * groups, taps: product(kernel), positions: product(read), pixels: product(written),
      read: three(read, 1), written: three(written, 1), sizes: three(kernel, 1), from: three(from, [0]),
      stride: three(stride, 1), dilation: three(dilation, 1),
    };
  }

  const worked = new WeakMap();

  /** Returns the sizes of a problem, or throws a Misfit. The numbers of `formula` are: input, before, after, dilation,
      kernel, stride, output_padding, output. */
  function geometry(problem) {
    if (!worked.has(problem)) worked.set(problem, work(problem));
    return worked.get(problem);
  }

  /** Puts the position that each tap reads for a pixel into `seen`, or -1. */
  function look({written, read, from, stride, dilation, sizes}, pixel, seen) {
    const column = pixel % written[2], above = (pixel - column) / written[2], line = above % written[1];
    const a = (above - line) / written[1] * stride[0], b = line * stride[1], c = column * stride[2];
    for (let t = 0, n = 0; t < sizes[0]; t++) {
      const i = from[0][a + t * dilation[0]];
      for (let u = 0; u < sizes[1]; u++) {
        const j = from[1][b + u * dilation[1]];
        for (let v = 0; v < sizes[2]; v++) {
          const k = from[2][c + v * dilation[2]];
          seen[n++] = (i | j | k) < 0 ? -1 : (i * read[1] + j) * read[2] + k;
        }
      }
    }
  }

  /** Calls visit(output, weight, input or -1, row of P) for each term, in their order, of some rows of K, pixels, and
      channels of a group. */
  function walk(g, visit, rows = [0, g.rows], pixels = [0, g.pixels], channels = [0, g.depth]) {
    const {taps, positions, depth} = g, seen = new Int32Array(taps), [turn, sign] = g.flip ? [taps - 1, -1] : [0, 1];
    for (let row = rows[0]; row < rows[1]; row++) {
      const first = Math.floor(row / g.perGroup) * depth;
      for (let pixel = pixels[0]; pixel < pixels[1]; pixel++) {
        look(g, pixel, seen);
        for (let c = channels[0]; c < channels[1]; c++) {
          const begin = (first + c) * positions, w = (row * depth + c) * taps + turn, k = (first + c) * taps;
          for (let t = 0; t < taps; t++) {
            visit(row * g.pixels + pixel, w + sign * t, seen[t] < 0 ? -1 : begin + seen[t], k + t);
          }
        }
      }
    }
  }

  /** Returns the convolution of x. */
  function apply(g, weight, x, value) {
    const y = new Float64Array(g.rows * g.pixels);
    walk(g, (o, w, i) => { y[o] += weight[w] * (i < 0 ? value : x[i]); });
    return y;
  }

  /** Returns the gradient of x. */
  function turned(g, weight, grad) {
    const x = new Float64Array(g.channels * g.positions);
    walk(g, (o, w, i) => { if (i >= 0) x[i] += weight[w] * grad[o]; });
    return x;
  }

  /** Returns the gradient of the weight. Zeros of the padding make no product. */
  function ofWeight(g, grad, x, value) {
    const weight = new Float64Array(g.rows * g.depth * g.taps);
    walk(g, (o, w, i) => { if (i >= 0 || value !== 0) weight[w] += grad[o] * (i < 0 ? value : x[i]); });
    return weight;
  }

  /** Returns y, with the bias. */
  function forward(problem) {
    const g = geometry(problem), {x, weight, bias, value} = problem;
    const y = g.transposed ? turned(g, weight.data, x.data) : apply(g, weight.data, x.data, value);
    return bias ? y.map((sum, at) => sum + bias[Math.floor(at / (y.length / bias.length))]) : y;
  }

  /** Returns the gradients {x, weight, bias} of the sum of grad * y. */
  function gradients(problem) {
    const g = geometry(problem), x = problem.x.data, weight = problem.weight.data, size = product(g.outputs);
    const grad = Float64Array.from(problem.grad || Array(size).fill(1)), bias = new Float64Array(g.outputs[0]);
    grad.forEach((n, at) => { bias[Math.floor(at / (size / bias.length))] += n; });
    if (g.transposed) return {x: apply(g, weight, grad, 0), weight: ofWeight(g, x, grad, 0), bias};
    return {x: turned(g, weight, grad), weight: ofWeight(g, grad, x, problem.value), bias};
  }

  /** Returns the patch matrix P {rows, columns, source, data}; `source` is the element of x, or -1. For a transposed
      convolution it is K.T @ X, and `source` is the element of y to which an entry is added, or -1. */
  function P(problem) {
    const g = geometry(problem), x = problem.x.data, weight = problem.weight.data, rows = g.channels * g.taps;
    const source = new Int32Array(rows * g.pixels), data = new Float64Array(source.length);
    walk(g, (o, w, i, k) => {
      const at = k * g.pixels + o % g.pixels;
      source[at] = i;
      data[at] = g.transposed ? data[at] + weight[w] * x[o] : i < 0 ? problem.value : x[i];
    });
    return {rows, columns: g.pixels, source, data};
  }

  /** Returns the kernel matrix K {rows, columns, weight, data}; `weight` is which weight, or -1 for no connection. */
  function K(problem) {
    const g = geometry(problem), columns = g.channels * g.taps, weight = new Int32Array(g.rows * columns).fill(-1);
    walk(g, (o, w, _, k) => { weight[o / g.pixels * columns + k] = w; }, undefined, [0, 1]);
    return {rows: g.rows, columns, weight, data: Float64Array.from(weight, w => w < 0 ? 0 : problem.weight.data[w])};
  }

  /** Returns what meets an output or an input: {weight, [name]}, where name is the other of "input" and "output". */
  function meets(problem, at, name) {
    const g = geometry(problem), found = [], isRow = (name === "input") !== g.transposed;
    const size = isRow ? g.pixels : g.positions, channel = Math.floor(at / size), c = channel % g.depth;
    if (isRow) {
      walk(g, (_, weight, i) => found.push({weight, [name]: i}), [channel, channel + 1], [at % size, at % size + 1]);
    } else {
      const row = (channel - c) / g.depth * g.perGroup;
      const visit = (o, weight, i) => { if (i === at) found.push({weight, [name]: o}); };
      walk(g, visit, [row, row + g.perGroup], undefined, [c, c + 1]);
    }
    return found;
  }

  /** Returns the terms {weight, input} of an output; the input is -1 in the padding. */
  const row = (problem, output) => meets(problem, output, "input");

  /** Returns the outputs that read an input, and with which weight: {weight, output}. */
  const column = (problem, input) => meets(problem, input, "output").filter(({output}) => output >= 0);

  /** Returns the entries {output, input} of M that are one weight. */
  function ties(problem, weight) {
    const g = geometry(problem), kernel = Math.floor(weight / g.taps), c = kernel % g.depth;
    const row = (kernel - c) / g.depth, found = [];
    walk(g, (o, w, i) => {
      if (w === weight && i >= 0) found.push(g.transposed ? {output: i, input: o} : {output: o, input: i});
    }, [row, row + 1], undefined, [c, c + 1]);
    return found;
  }

  /** Returns, of an axis: the fewest and the most outputs for which a tap reads an element, the different elements that
      an output reads, summed over the outputs, and how many elements are read. */
  function countAlong({sizes, read, written, from, stride, dilation}, axis) {
    const places = new Int32Array(sizes[axis]), last = new Int32Array(read[axis]);
    let different = 0;
    for (let output = 0; output < written[axis]; output++) {
      for (let tap = 0; tap < sizes[axis]; tap++) {
        const at = from[axis][output * stride[axis] + tap * dilation[axis]];
        if (at < 0) continue;
        places[tap]++;
        if (last[at] !== output + 1) different++;
        last[at] = output + 1;
      }
    }
    places.sort();
    return [places[0], places[places.length - 1], different, last.filter(Boolean).length];
  }

  /** Returns the counts, as Explanation.counts. */
  function counts(problem) {
    const g = geometry(problem), outputs = product(g.outputs), inputs = product(g.inputs);
    const along = [0, 1, 2].map(axis => countAlong(g, axis));
    const [fewest, most, different, read] = [0, 1, 2, 3].map(what => product(along.map(axis => axis[what])));
    return {
      weights: problem.weight.data.length, places: [fewest, most], outputs, inputs, fullyConnected: outputs * inputs,
      entries: g.rows * g.depth * different, multiplications: g.rows * g.pixels * g.depth * g.taps,
      patchRows: g.channels * g.taps, patchColumns: g.pixels, unread: g.channels * (g.positions - read),
    };
  }

  return {MODES, Misfit, product, tuple, extended, geometry, forward, gradients, P, K, row, column, ties, counts};
})();
