"use strict";
/* Numbers of one's own: from text to {shape, data}, back to text, and into a problem. */

const numbers = (() => {
  // The most numbers, outputs and multiplications; page.py has the same limits.
  const MOST = 20000, MOST_OUTPUTS = 100000, MOST_PRODUCTS = 1 << 22;
  const NAMED = {nan: NaN, inf: Infinity, infinity: Infinity, true: 1, false: 0};

  /** Throws an Error that says what is wrong with a text, and where. */
  function fail(text, place, message) {
    const lines = text.slice(0, place).split("\n");
    throw new Error(`${message} (line ${lines.length}, column ${lines.at(-1).length + 1})`);
  }

  /** Returns the number that a word of a text means. */
  function number(word, all = word, place = 0) {
    const plain = word.replace(/"/g, "").toLowerCase(), name = plain.replace(/^[-+]/, "");
    if (Object.hasOwn(NAMED, name)) return plain[0] === "-" ? -NAMED[name] : NAMED[name];
    if (!/^(\d+\.?\d*|\.\d+)([ed][-+]?\d+)?$/.test(name)) fail(all, place, `"${word.slice(0, 20)}" is not a number`);
    return Number(plain.replace("d", "e"));
  }

  /** Returns a list that knows its place in the text. */
  const listAt = (place, items = []) => Object.assign(items, {place});

  /** Returns nested lists from text in brackets; a semicolon ends a row. */
  function bracketed(text) {
    const top = listAt(0), open = [top];
    let before = "";
    for (const {0: word, index} of text.matchAll(/[[\],;]|[^\s[\],;]+/g)) {
      const list = open.at(-1);
      if (word === "[") {
        open.push(listAt(index));
        list.push(open.at(-1));
        if (open.length > 9) fail(text, index, "there are more than 8 brackets inside each other");
      } else if (list === top && word !== ",") fail(text, index, `"${word.slice(0, 20)}" is outside of the brackets`);
      else if (word === "]") {
        if (list.rows) list.push(...list.rows, listAt(index, list.splice(0)));
        open.pop();
      } else if (word === ";") (list.rows ??= []).push(listAt(index, list.splice(0)));
      else if (word !== ",") list.push(number(word, text, index));
      else if (",;[".includes(before)) fail(text, index, "a number is missing");
      before = word;
    }
    if (open.length > 1) fail(text, text.length, "a ] is missing at the end");
    return top.length > 1 ? top : top[0];
  }

  /** Returns nested lists from lines of cells; a blank line begins a block, such as a channel. Beside tabs and
      semicolons, a comma is a decimal point. */
  function table(text) {
    const separator = ["\t", ";", ","].find(sign => text.trim().includes(sign)) || /[^\S\n]+/;
    const blocks = [listAt(0)];
    let place = 0;
    for (const line of text.split("\n")) {
      const body = separator === "\t" ? line.trimEnd() : line.replace(/[\s,;]+$/, "");
      let at = place + (separator === "\t" ? 0 : body.search(/\S|$/));
      const row = listAt(place, (body ? body.slice(at - place).split(separator) : []).map(cell => {
        const word = separator === "," ? cell.trim() : cell.trim().replace(/^([-+]?\d+),(\d+)$/, "$1.$2");
        if (!word) fail(text, at, "a cell is empty");
        at += cell.length + 1;
        return number(word, text, at - cell.length - 1);
      }));
      if (row.length) blocks.at(-1).push(row);
      else if (blocks.at(-1).length) blocks.push(listAt(place));
      place += line.length + 1;
    }
    if (!blocks.at(-1).length) blocks.pop();
    const [first] = blocks;
    if (blocks.length > 1) return listAt(0, blocks);
    if (first.length === 1) return first[0];
    return first.every(row => row.length === 1) ? listAt(0, first.flat()) : first;
  }

  /** Returns nested lists as {shape, data}; all lists of a level must have the same length. */
  function shaped(lists, text) {
    const shape = [], data = [];
    for (let list = lists; Array.isArray(list); list = list[0]) shape.push(list.length);
    (function visit(list, depth) {
      if (list.length !== shape[depth]) fail(text, list.place, `a row has ${list.length} entries, but the first one has ${shape[depth]}`);
      for (const item of list) {
        if (Array.isArray(item) !== depth + 1 < shape.length) fail(text, list.place, "numbers and rows are mixed");
        if (Array.isArray(item)) visit(item, depth + 1);
        else data.push(item);
      }
    })(lists, 0);
    if (!data.length) throw new Error("there are no numbers");
    if (data.length > MOST) throw new Error(`${data.length} numbers are too many: give at most ${MOST}`);
    return {shape, data};
  }

  /** Returns the numbers in a text: JSON, what NumPy prints, MATLAB's [1 2; 3 4], cells of a spreadsheet, or one number a
      line. Throws an Error that says what is wrong and where. */
  function parse(text) {
    // blanks instead of x =, array(, np.float64(, dtype=float32) and the last semicolon keep the places in the text
    const names = /^\s*\w+\s*=|[\w.]+\(|,\s*(dtype|device|requires_grad)\s*=[^)]*|\)|\bnp\.(?=nan|inf)|;\s*$/g;
    const clean = text.replace(names, part => part.replace(/[^\n]/g, " ")).replace(/{/g, "[").replace(/}/g, "]").replace(/\u2212/g, "-");
    const dots = clean.search(/\.\.\.|…/);
    if (dots >= 0) fail(text, dots, "... stands for missing numbers: in NumPy, print after np.set_printoptions(threshold=10**6)");
    if (!clean.trim()) throw new Error("there are no numbers");
    return shaped(clean.includes("[") ? bracketed(clean) : table(clean), clean);
  }

  /** Returns a number as text from which `parse` makes the same number. */
  function text(value) {
    if (Number.isFinite(value)) return Object.is(value, -0) ? "-0" : String(value);
    return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  }

  /** Returns an array as nested lists; `one` writes a number, and `gap` stands between rows. */
  function write({shape, data}, one = text, gap = ",\n") {
    return shape.reduceRight((parts, size, depth) => draw.range(0, parts.length / size).map(at =>
      `[${parts.slice(at * size, (at + 1) * size).join(depth === shape.length - 1 ? ", " : gap)}]`), data.map(one))[0];
  }

  /** Returns whether an array is 1, 2, 3 and so on. */
  const counted = ({data}) => data.every((value, at) => value === at + 1);

  /** Returns an array in another shape: still 1, 2, 3, ..., or the same numbers where both overlap and 0 elsewhere. */
  function resize(array, shape) {
    const all = draw.range(0, draw.product(shape));
    if (counted(array)) return {shape, data: all.map(at => at + 1)};
    const inside = index => index.every((i, axis) => i < array.shape[axis]);
    return {shape, data: all.map(at => draw.unravel(at, shape)).map(index => inside(index) ? array.data[draw.ravel(index, array.shape)] : 0)};
  }

  /** Returns (before, after) along every axis as numbers. */
  const pads = problem => core.geometry(problem).formula.map(([, before, after]) => [before, after]);

  /** Returns the number of channels of y. */
  const kernels = ({weight, groups, transposed}) => transposed ? weight.shape[1] * groups : weight.shape[0];

  const isFlat = name => name === "bias" || name === "grad";

  /** Returns an array of a problem; a bias that is missing is 0, a gradient 1 everywhere. */
  function arrayOf(problem, name) {
    if (!isFlat(name)) return problem[name];
    const shape = name === "bias" ? [kernels(problem)] : core.geometry(problem).outputs;
    return {shape, data: problem[name] || Array(draw.product(shape)).fill(name === "bias" ? 0 : 1)};
  }

  /** Returns the problem with one number changed. */
  function edit(problem, name, index, value) {
    const {shape, data} = arrayOf(problem, name), changed = data.map((old, at) => at === index ? value : old);
    return {...problem, [name]: isFlat(name) ? changed : {shape, data: changed}};
  }

  /** Returns the problem with another array, or without it; missing leading axes have size 1. Throws core.Misfit. */
  function replace(problem, name, array) {
    if (!array) return {...problem, [name]: null};
    const wanted = arrayOf(problem, name).shape, axes = wanted.length, has = `${name} has shape (${array.shape.join(", ")})`;
    let {shape} = array;
    while (shape.length < axes) shape = [1, ...shape];
    while (shape.length > axes && shape[0] === 1) shape = shape.slice(1);
    if (shape.length > axes) throw new core.Misfit(`${has}; give at most ${axes} axes, or set "axes" to another number first`);
    if (isFlat(name) && String(shape) !== String(wanted)) throw new core.Misfit(`${has}; give shape (${wanted.join(", ")})`);
    return checked({...problem, [name]: isFlat(name) ? array.data : {shape, data: array.data}});
  }

  /** Returns the problem with a bias and a gradient that fit the other arrays. Throws core.Misfit if these do not fit, or are
      too large for the page. */
  function checked(problem) {
    const {x, weight, bias, grad} = problem, {outputs, rows, pixels, depth, taps} = core.geometry({...problem, bias: null, grad: null}), [channels] = outputs;
    for (const [count, most, what] of [[x.data.length + weight.data.length, MOST, "numbers in x and weight"],
      [draw.product(outputs), MOST_OUTPUTS, "outputs"], [rows * pixels * depth * taps, MOST_PRODUCTS, "multiplications"]]) {
      if (count > most) throw new core.Misfit(`the page takes at most ${most} ${what}, not ${count}: choose smaller sizes`);
    }
    return {
      ...problem, bias: bias && resize({shape: [bias.length], data: bias}, [channels]).data,
      grad: grad && grad.length === draw.product(outputs) ? grad : null,
    };
  }

  return {MOST, parse, number, text, write, counted, resize, pads, kernels, array: arrayOf, edit, replace, checked};
})();
