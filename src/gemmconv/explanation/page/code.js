"use strict";
/* The same convolution as a program for other libraries. A writer returns the lines that compute y, or refuses. */

const code = (() => {
  const TORCH_MODES = {reflect: "reflect", edge: "replicate", wrap: "circular"};

  /** Throws an Error with the reason if a library cannot compute the convolution. */
  function refuse(cannot, reason) {
    if (cannot) throw new Error(reason);
  }

  const {tuple} = core;

  /** Returns one value if all are the same, else all. */
  const short = list => list.every(value => value === list[0]) ? list[0] : tuple(list);

  /** Returns a number in Python. */
  const python = value => numbers.text(value).replace(/^-?\d+$/, "$&.0").replace(/nan|inf/, "np.$&");

  /** Returns a keyword for the padding value if it is not 0. */
  const valued = (name, value) => value === 0 ? "" : `, ${name}=${python(value)}`;

  /** Returns an array as an expression of NumPy. */
  const array = one => numbers.counted(one) ? `np.arange(1.0, ${one.data.length + 1}).reshape${tuple(one.shape)}` :
    `np.array(${numbers.write(one, python, ", ")})`;

  /** Returns [mode, the pads of the axes with that mode and 0 for the others] for each mode that pads. */
  const byMode = ({modes}, pads) => [...new Set(modes)].map(mode => [mode, pads.map((pad, axis) => modes[axis] === mode ? pad : [0, 0])])
    .filter(([, some]) => some.flat().some(Boolean));

  /** Returns the lines that pad x with NumPy, and crop it where the padding is negative. */
  function padded(problem) {
    const pads = numbers.pads(problem), grow = pads.map(pad => pad.map(n => Math.max(n, 0)));
    const lines = byMode(problem, grow).map(([mode, some], at) => `padded = np.pad(${at ? "padded" : "x"}, [(0, 0), ${some.map(tuple).join(", ")}], ` +
      (mode === "zeros" ? `mode="constant"${valued("constant_values", problem.value)})` : `mode="${mode}")`));
    if (!lines.length) lines.push("padded = x");
    const crops = pads.map(([before, after]) => `${Math.max(-before, 0) || ""}:${Math.min(after, 0) || ""}`);
    return crops.every(crop => crop === ":") ? lines : [...lines, `padded = padded[:, ${crops.join(", ")}]`];
  }

  function gemmconv({stride, padding, dilation, groups, modes, value, flip, transposed, outputPadding, bias}) {
    const pads = typeof padding === "string" ? `'${padding}'` :
      padding.every(([before, after]) => before === after) ? short(padding.map(([n]) => n)) : tuple(padding.map(tuple));
    const words = [["stride", short(stride), 1], ["padding", pads, 0], ["dilation", short(dilation), 1], ["groups", groups, 1],
      ["padding_mode", short(modes.map(mode => `'${mode}'`)), "'zeros'"], ["padding_value", python(value), "0.0"],
      ["flip", flip ? "True" : 0, 0], ["output_padding", short(outputPadding), 0]];
    const given = words.filter(([, now, usual]) => now !== usual).map(([name, now]) => `${name}=${now}`);
    return [`y = gemmconv.conv${transposed ? "_transpose" : ""}(${["x", "weight", ...(bias ? ["bias"] : []), ...given].join(", ")})`];
  }

  /** Returns the line that pads x with PyTorch, in one mode. */
  function torchPad({x, value}, [mode, pads]) {
    const list = tuple([...pads].reverse().flat()), sizes = x.shape.slice(1), most = {reflect: -1, wrap: 0, edge: Infinity, zeros: Infinity}[mode];
    refuse(mode === "symmetric", "torch: there is no padding mode 'symmetric'");
    refuse(pads.some((pad, axis) => pad.some(n => n > sizes[axis] + most || n < 0 && mode !== "zeros")),
      `torch: padding mode '${mode}' takes neither negative padding nor more than the input has`);
    if (mode !== "zeros") return `x = torch.nn.functional.pad(x[None], ${list}, mode="${TORCH_MODES[mode]}")[0]`;
    // PyTorch crops before it pads
    refuse(pads.some(([before, after], axis) => sizes[axis] + Math.min(before, 0) + Math.min(after, 0) < 1),
      "torch: negative padding cannot take away all of the input");
    return `x = torch.nn.functional.pad(x, ${list}${valued("value", value)})`;
  }

  function torch(problem) {
    const {stride, dilation, groups, flip, transposed, bias, value} = problem, pads = numbers.pads(problem), used = byMode(problem, pads);
    const even = pads.every(([before, after]) => before === after && before >= 0);
    const inside = even && (transposed || !used.length || value === 0 && used.every(([mode]) => mode === "zeros"));
    refuse(transposed && !even, "torch: the padding of a transposed convolution is even and not negative");
    const words = [`stride=${tuple(stride)}`, transposed && `output_padding=${tuple(problem.outputPadding)}`,
      inside && `padding=${tuple(pads.map(([n]) => n))}`, `dilation=${tuple(dilation)}`, `groups=${groups}`].filter(Boolean).join(", ");
    return [
      "x, weight = torch.from_numpy(x), torch.from_numpy(weight)",
      ...(bias ? ["bias = torch.from_numpy(bias)"] : []),
      ...(flip ? [`weight = weight.flip${tuple(stride.map((_, axis) => axis + 2))}`] : []),
      ...(inside ? [] : used.map(one => torchPad(problem, one))),
      `y = torch.nn.functional.conv${transposed ? "_transpose" : ""}${pads.length}d(x[None], weight, ${bias ? "bias" : "None"}, ${words})[0]`,
    ];
  }

  function scipy(problem) {
    const {weight: {shape: [kernels, channels]}, groups, flip, transposed, dilation, stride, bias} = problem;
    refuse(transposed || dilation.some(n => n > 1), "scipy: there is no transposed convolution and no dilation");
    const first = groups > 1 ? `o // ${kernels / groups} * ${channels} + ` : "", function_ = flip ? "convolve" : "correlate";
    const one = `scipy.signal.${function_}(padded[${first}c], weight[o, c], mode="valid", method="direct")`;
    return [...padded(problem), `y = [sum(${one} for c in range(${channels})) for o in range(${kernels})]`,
      `y = np.stack(y)[:, ${stride.map(step => `::${step}`).join(", ")}]${bias ? ` + bias[:, ${stride.map(() => "None").join(", ")}]` : ""}`];
  }

  /** Returns parts of a list, of a length each. */
  const parts = (list, length) => draw.range(0, list.length / length).map(at => list.slice(at * length, (at + 1) * length));

  /** Returns indices as a range of MATLAB, or as a vector. */
  const indices = list => list.length && list.every((n, at) => n === list[0] + at) ? `${list[0]}:${list.at(-1)}` : `[${list.join(" ")}]`;

  /** Returns how MATLAB pads an axis: its length, the positions that do not hold the constant, the elements that stand there. */
  function matlabAxis(mode, size, [before, after]) {
    const sources = draw.range(-before, size + before + after).map(at => core.extended(mode, at, size) + 1);
    return [sources.length, indices(sources.flatMap((from, at) => from ? at + 1 : [])), indices(sources.filter(Boolean)), `1:${size}`];
  }

  function matlab(problem) {
    const {x, weight, bias, groups, flip, transposed, dilation, stride, value, modes} = problem, rank = stride.length;
    refuse(transposed || rank > 2 || dilation.some(n => n > 1),
      "matlab: only convolutions of one or two axes without dilation are written out");
    const two = (list, fill) => rank === 1 ? [fill, ...list] : list, [kernels, channels] = weight.shape;
    const matrices = ({shape, data}) => {
      const [rows, columns] = two(shape.slice(-rank), 1);
      return parts(parts(data.map(numbers.text), columns), rows).map(matrix => `[${matrix.map(row => row.join(" ")).join("; ")}]`);
    };
    const axes = numbers.pads(problem).map((pad, axis) => matlabAxis(modes[axis], x.shape[axis + 1], pad)), [down, across] = two(stride, 1);
    const [[height, top, rows, allRows], [width, left, columns, allColumns]] = two(axes, [1, "1:1", "1:1", "1:1"]);
    const taken = rows === allRows && columns === allColumns ? "" : `(${rows}, ${columns})`;
    const channel = groups > 1 ? `floor((o - 1) / ${kernels / groups}) * ${channels} + c` : "c";
    return [
      `x = {${matrices(x).join(", ")}};`,
      `weight = {${parts(matrices(weight), channels).map(row => row.join(", ")).join("; ")}};  % weight{kernel, channel}`,
      ...(bias ? [`bias = [${bias.map(numbers.text).join(" ")}];`] : []),
      `for o = 1:${kernels}`,
      `  y{o} = ${bias ? "bias(o)" : "0"};`,
      `  for c = 1:${channels}`,
      `    padded = ${value === 0 ? "zeros(" : `repmat(${numbers.text(value)}, `}${height}, ${width});`,
      `    padded(${top}, ${left}) = x{${channel}}${taken};`,
      `    y{o} = y{o} + conv2(padded, ${flip ? "weight{o, c}" : "rot90(weight{o, c}, 2)"}, 'valid');`,
      "  end",
      `  y{o} = y{o}(1:${down}:end, 1:${across}:end);`,
      "end",
    ];
  }

  const WRITERS = {gemmconv, torch, scipy, matlab};

  /** Returns the program for a library, or throws an Error with the reason. */
  function write(problem, library) {
    const lines = WRITERS[library](problem), {x, weight, bias} = problem, imports = ["import numpy as np", `import ${library === "scipy" ? "scipy.signal" : library}`];
    if (library === "matlab") return lines.join("\n") + "\n";
    const arrays = Object.entries({x, weight, ...(bias && {bias: {shape: [bias.length], data: bias}})});
    return [...imports.sort(), "", ...arrays.map(([name, one]) => `${name} = ${array(one)}`), ...lines].join("\n") + "\n";
  }

  return {libraries: Object.keys(WRITERS), write};
})();
