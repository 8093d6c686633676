"use strict";
/* Drawing of x, weight and y, and what all panels share. A panel is an inline SVG; a cell of it is a <g> with data-kind
   and data-at, the flat index. Cells are drawn once for a problem; lit.js only changes their classes. */

const draw = (() => {
  const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  // Paul Tol's light colours: dark text is readable on each. More taps take a part of cividis.
  const COLOURS = ["77aadd", "ee8866", "eedd88", "ffaabb", "99ddff", "44bb99", "bbcc33", "aaaa00", "dddddd"];
  const CIVIDIS = [[132, 130, 124], [188, 175, 111], [255, 234, 70]];
  // The most cells of all panels. Where there are more, each of x, weight and y shows at most `PART`: those around the
  // selection; and K, P and M are cut down as matrix.js says.
  const MOST = 5000, PART = 1000;

  /** Returns a number as it is shown: an integer without a point, any other with 4 significant digits. */
  function text(value) {
    if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
    if (Number.isFinite(value)) return String(+value.toPrecision(4));
    return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  }

  const {product} = core;

  /** Returns the index of an element from its flat index. */
  const unravel = (at, shape) => shape.reduceRight(([rest, ...index], size) =>
    [Math.floor(rest / size), rest % size, ...index], [at]).slice(1);

  /** Returns the flat index of an element; -1 if a position is outside. */
  const ravel = (index, shape) => index.some((i, axis) => i < 0 || i >= shape[axis]) ? -1 :
    index.reduce((at, i, axis) => at * shape[axis] + i, 0);

  /** Returns an element as "y[0, 1, 2]". */
  const named = (name, at, shape) => `${name}[${unravel(at, shape).join(", ")}]`;

  /** Returns "1 weight" or "2 weights". */
  const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

  /** Returns the numbers from first on. */
  const range = (first, count) => Array.from({length: count}, (_, k) => first + k);

  /** Returns the width of a text in a size of the font, with room around it. */
  const wide = (texts, size) => Math.ceil(Math.max(...texts.map(t => String(t).length), 1) * size * 0.64) + 8;

  /** Returns, for each axis, the indices that are shown: at most `most` cells, around the index `centre`. */
  function crop(sizes, most, centre) {
    const counts = [...sizes];
    while (product(counts) > most) counts[counts.indexOf(Math.max(...counts))]--;
    return counts.map((count, axis) =>
      range(Math.min(Math.max((centre[axis] || 0) - Math.floor(count / 2), 0), sizes[axis] - count), count));
  }

  /** Returns what is drawn of a state: the problem, its geometry, its matrices, the names of its weights. */
  function model(state) {
    const {problem} = state, g = core.geometry(problem), {taps} = g, size = problem.weight.data.length;
    const kind = size <= LETTERS.length ? "weight" : taps <= LETTERS.length ? "tap" : "";
    const P = core.P(problem), y = core.forward(problem);
    const shapes = {x: g.inputs, weight: problem.weight.shape, y: g.outputs};
    const counts = core.counts(problem), {inputs, outputs} = counts;
    const large = 2 * inputs + 2 * size + 3 * outputs + P.data.length + Math.min(counts.entries, 2400) > MOST;
    const phone = innerWidth < 700, width = document.querySelector("main").clientWidth - (phone ? 24 : 40);
    return {
      problem, g, P, K: core.K(problem), y, kind, shapes, counts, inputs, outputs, pixels: product(g.outputs.slice(1)),
      large, most: large ? PART : MOST, places: P.source, phone, width, backward: state.backward,
      shown: state.backward ? problem.grad || Array(y.length).fill(1) : y,
      letter: weight => kind ? LETTERS[kind === "weight" ? weight : weight % taps] : "#",
      tapOfRow: row => g.flip ? taps - 1 - row % taps : row % taps,
    };
  }

  /** Returns the rules that give each tap its colour. */
  function palette(taps) {
    const between = share => {
      const at = Math.min(share * 2, 1.999), [a, b] = [CIVIDIS[Math.floor(at)], CIVIDIS[Math.floor(at) + 1]];
      return `rgb(${a.map((from, k) => Math.round(from + (b[k] - from) * (at % 1))).join(" ")})`;
    };
    return range(0, taps).map(tap =>
      `.t${tap}{--tap:${taps <= COLOURS.length ? `#${COLOURS[tap]}` : between(tap / (taps - 1))}}`).join("");
  }

  /** Returns a cell. `attributes` say what it is; `letter` stands below the number, or beside it. */
  function cell({x, y, w, h, label = "", classes = "", attributes = "", letter = "", beside = false}) {
    const [lx, ly, tx, ty] = !letter ? [0, 0, w / 2, h / 2] : beside ? [9, h / 2, (w + 14) / 2, h / 2] :
      [w / 2, h - 8, w / 2, h / 2 - 5];
    return `<g class="c ${classes}" ${attributes} transform="translate(${x} ${y})">` +
      `<rect width="${w}" height="${h}" rx="3"/>` +
      (letter ? `<text class="letter" x="${lx}" y="${ly}">${letter}</text>` : "") +
      (label === "" ? "" : `<text x="${tx}" y="${ty}">${label}</text>`) + "</g>";
  }

  /** Returns a panel: an SVG of this size. A grid can be moved through with keys. */
  function panel(name, width, height, body, label, grid) {
    const hatch = '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" ' +
      'patternTransform="rotate(45)"><rect class="cell" width="6" height="6"/>' +
      '<rect class="hatch" width="1" height="6"/></pattern></defs>', [w, h] = [width + 3, height + 3];
    return `<svg data-panel="${name}" width="${w}" height="${h}" viewBox="-2 -2 ${w} ${h}" ` +
      `role="${grid ? "grid" : "img"}" aria-label="${label}">${name === "x" ? hatch : ""}${body}</svg>`;
  }

  /** Returns a panel of an array in blocks of rows and columns, which follow each other and wrap at a width.
      `lists` are the positions that are shown along each axis, `cellAt(index)` describes a cell, `captions(lead)`
      returns [text on the left, text above] of a block; a text on the left begins a new line. */
  function sheet(m, name, lists, cellAt, captions, rowLabel) {
    const [rows, columns] = lists.slice(-2);
    const lead = lists.slice(0, -2).reduce((all, list) => all.flatMap(index => list.map(i => [...index, i])), [[]]);
    const pitch = m.phone || columns.length * 34 > m.width * .45 ? {x: 28, y: 28} : {x: 34, y: 32};
    const described = lead.map(block => rows.map(row => columns.map(column => cellAt([...block, row, column]))));
    pitch.x = Math.max(pitch.x, wide(described.flat(2).map(c => c.label), 13) + 2 * (name === "weight"));
    if (name === "weight" && m.kind) pitch.y = 38;
    const width = columns.length * pitch.x, height = rows.length * pitch.y;
    const left = lead.some(block => captions(block)[0]) ? 58 : rowLabel ? 66 : 0;
    let x = left, y = 0, end = 0, body = "", above = captions(lead[0])[1] ? 18 : 0;
    lead.forEach((block, k) => {
      const [beside, over] = captions(block);
      if (k && (x + width > m.width || beside)) {
        [x, y] = [left, y + height + above + 8];
        above = over ? 18 : 0;
      }
      const caption = (text, x, y) => text ? `<text class="caption" x="${x}" y="${y}">${text}</text>` : "";
      const top = y + above, middle = r => top + (r + .5) * pitch.y - 1;
      const labels = rowLabel ? rows.map((row, r) => caption(rowLabel(row), 0, middle(r))).join("") : "";
      body += `<g aria-hidden="true">${caption(beside, 0, top + height / 2)}${caption(over, x, y + 8)}${labels}</g>`;
      body += described[k].map((cells, r) => `<g role="row">${cells.map((c, i) =>
        cell({...c, x: x + i * pitch.x, y: top + r * pitch.y, w: pitch.x - 2, h: pitch.y - 2})).join("")}</g>`).join("");
      const taken = over ? Math.max(width, wide([over], 11) - 14) : width;
      end = Math.max(end, x + taken);
      x += taken + 14;
    });
    return panel(name, end + 1, y + above + height + 1, body, `${name}, ${m.shapes[name].join(" by ")}`, true);
  }

  /** Returns the attributes of a cell that can be selected; those of a grid can have the focus. */
  const attributes = (kind, at, more = "") =>
    `role="gridcell" tabindex="-1" data-kind="${kind}" data-at="${at}"${more}`;

  /** Returns the captions of the blocks of x or y. */
  const channels = shape => ([channel, depth]) => ["", channel === undefined ? "" :
    depth === undefined ? `channel ${channel}` : `${shape[0] > 1 ? `channel ${channel}, ` : ""}depth ${depth}`];

  /** Returns what labels the rows of an array of one spatial axis, which are its channels. */
  const rowLabel = shape => shape.length === 2 && shape[0] > 1 && (channel => `channel ${channel}`);

  /** Returns the inputs that no output reads. */
  function unread(m) {
    const found = new Set();
    if (!m.g.transposed && m.counts.unread) {
      const read = new Set(m.places);
      for (let at = 0; at < m.inputs; at++) if (!read.has(at)) found.add(at);
    }
    return found;
  }

  /** Draws x with its padding. */
  function drawX(m, centre) {
    const {g, problem} = m, shape = g.inputs, left = unread(m);
    const around = shape.slice(1).map((_, axis) => g.transposed ? [0, 0] : g.pads[axis].map(pad => Math.max(pad, 0)));
    const sizes = [shape[0], ...shape.slice(1).map((size, axis) => size + around[axis][0] + around[axis][1])];
    const lists = crop(sizes, m.most, centre.map((at, axis) => at + (axis ? around[axis - 1][0] : 0)))
      .map((list, axis) => axis ? list.map(at => at - around[axis - 1][0]) : list);
    const copy = ([channel, ...where]) => ravel([channel, ...where.map((at, axis) =>
      g.from[3 - g.rank + axis][at + g.pads[axis][0]])], shape);
    const cellAt = index => {
      const at = ravel(index, shape);
      const label = from => from >= 0 ? text(problem.x.data[from]) : problem.value !== 0 ? text(problem.value) : "";
      const classes = at < 0 ? "pad" : left.has(at) ? "unread" : "";
      if (at >= 0) return {label: label(at), attributes: attributes("input", at), classes};
      const source = copy(index), data = source < 0 ? "" : ` data-source="${source}"`;
      const padding = `role="gridcell" aria-label="padding" data-pad="${index[0]}:${index.slice(1)}"`;
      return {label: label(source), classes, attributes: padding + data};
    };
    return sheet(m, "x", lists, cellAt, channels(shape), rowLabel(shape));
  }

  /** Draws the kernels. */
  function drawWeight(m, centre) {
    const {shape, data} = m.problem.weight, [first, second] = m.g.transposed ? ["in", "out"] : ["kernel", "channel"];
    const single = shape.length === 3 || product(shape.slice(1, -2)) === 1;
    const cellAt = index => {
      const at = ravel(index, shape);
      return {label: text(data[at]), letter: m.kind && m.letter(at), attributes: attributes("weight", at),
        classes: `tap t${at % m.g.taps}${data[at] === 0 ? " zero" : ""}`};
    };
    const inside = ([channel, depth]) => depth === undefined ? `${second} ${channel}` :
      `${shape[1] > 1 ? `${second} ${channel}, ` : ""}depth ${depth}`;
    const captions = ([kernel, ...inner]) => single ? ["", shape[0] > 1 ? `${first} ${kernel}` : ""] :
      [inner.every(i => i === 0) ? `${first} ${kernel}` : "", kernel ? "" : inside(inner)];
    return sheet(m, "weight", crop(shape, m.most, centre), cellAt, captions);
  }

  /** Draws y, or its gradient. */
  function drawY(m, centre) {
    const shape = m.g.outputs;
    const cellAt = index => {
      const at = ravel(index, shape);
      return {label: text(m.shown[at]), attributes: attributes("output", at)};
    };
    return sheet(m, "y", crop(shape, m.most, centre), cellAt, channels(shape), rowLabel(shape));
  }

  /** Returns the table of the size formula: the words stand under the numbers. */
  function size(m) {
    const axes = {1: ["length"], 2: ["height", "width"], 3: ["depth", "height", "width"]}[m.g.rank];
    const words = ["input", "before", "after", "dilation", "kernel", "stride", "more", "output", "extent"];
    const [I, B, A, D, K, S, O, Y, E] = words.keys(), minus = "\u2212", times = "\u00b7 (", less = "\u2212 1)";
    const extent = m.phone ? [E] : [D, times, K, `${less} \u2212 1`];
    const form = m.g.transposed ?
      ["(", I, `${less} \u00b7`, S, minus, B, minus, A, "+", D, times, K, `${less} +`, O, "+ 1 =", Y] :
      ["\u230a(", I, "+", B, "+", A, minus, ...extent, ") /", S, "\u230b + 1 =", Y];
    const row = (head, shown, kind = "") =>
      `<tr${kind}>${head}${form.map(part => `<td>${shown(part)}</td>`).join("")}</tr>`;
    const rows = m.g.formula.map((numbers, axis) => row(`<th scope="row">${axes[axis]}</th>`, part =>
      typeof part === "string" ? part : part === Y ? `<b>${numbers[Y]}</b>` : part === E ? m.g.extents[axis] : numbers[part]));
    return `<table>${rows.join("")}${row("<td></td>", part => words[part] ?? "", ' class="words"')}</table>`;
  }

  /** Returns the counts as a list of pairs: what they are, and how many. */
  function counts(m) {
    const c = m.counts, [fewest, most] = c.places, count = number => number.toLocaleString("en");
    const share = c.entries / c.fullyConnected * 100, times = c.fullyConnected / c.weights;
    const bold = (number, noun) => `<b>${count(number)}</b> ${noun}${number === 1 ? "" : "s"}`;
    const places = fewest === most ? counted(most, "place") : `${fewest} to ${counted(most, "place")}`;
    const inP = c.patchRows * c.patchColumns, [size, name] = m.g.transposed ? [c.outputs, "y"] : [c.inputs, "x"];
    const each = `${counted(c.outputs, "output")}, ${count(c.multiplications / c.outputs)} each`;
    const pairs = [
      [`each in ${places} of M`, bold(c.weights, "weight")],
      [`if fully connected: ${text(times)} times as many`, bold(c.fullyConnected, "weight")],
      [`${share.toFixed(1)} % of M, the others stay zero`, bold(c.entries, "connection")],
      [m.g.transposed ? "counting those that padding drops" : each, bold(c.multiplications, "multiplication")],
      [`${text(inP / size)} times those of ${name}`, `<b>${count(inP)}</b> numbers in P`],
    ];
    return pairs.map(([what, number]) => `<div><dt>${what}</dt><dd>${number}</dd></div>`).join("");
  }

  /** Puts the titles and the notes into their places. */
  function words(m, put) {
    const {g, problem} = m, by = sizes => sizes.join(" \u00d7 "), [O, C] = problem.weight.shape, turned = m.backward;
    const title = (id, name, what) => put(`title-${id}`, `${name} <small>${what}</small>`);
    title("x", "x", `input: ${counted(g.inputs[0], "channel")} of ${by(g.inputs.slice(1))}`);
    title("weight", "weight", g.transposed ? `${by([O, C])} kernels of ${by(g.kernel)}` :
      `${counted(O, "kernel")} of ${counted(C, "channel")} of ${by(g.kernel)}${g.flip ? ", flipped in K" : ""}`);
    title("y", turned ? "g" : "y", turned ? "gradient of the loss with respect to y" :
      `output: ${counted(g.outputs[0], "feature map")} of ${by(g.outputs.slice(1))}`);
    const c = m.counts;
    title("product", ...g.transposed ? ["K<sup>T</sup> @ X = P", "each entry of P is added to an output"] : turned ?
      ["g @ P<sup>T</sup>", `P is ${by([m.P.rows, m.P.columns])}: a row of it times a row of g is the gradient of a weight; g stands in place of Y`] :
      ["K @ P = Y", "a kernel is a row of K, a window a column of P"]);
    const MT = "M<sup>T</sup>", [drawn, other] = g.transposed ? [MT, "M"] : ["M", MT], sizeOfM = by([c.outputs, c.inputs]);
    title("M", ...turned ?
      [`${other} @ g`, `${drawn} is ${sizeOfM}: a column of it times g is the gradient of an input`] :
      [`${drawn} @ x = y`, `${sizeOfM}: a fully connected layer of tied weights`]);
    const zeros = problem.weight.data.filter(value => value === 0).length;
    const kernel = product(problem.weight.shape.slice(1)), are = count => count === 1 ? "is" : "are";
    const equal = O > 1 && problem.weight.data.every((value, at) => value === problem.weight.data[at % kernel]);
    const lost = counted(c.unread, g.transposed ? "output" : "input");
    put("note-x", !c.unread ? "" :
      `${lost} ${are(c.unread)} ${g.transposed ? "not reached by any input" : "read by no output (dotted)"}`);
    put("note-weight", [
      zeros ? `${counted(zeros, "weight")} ${are(zeros)} 0 now (dashed), but may change in training` : "",
      equal ? "the kernels are equal now, but not tied" : "",
      problem.bias ? `bias ${Array.from(problem.bias).slice(0, 12).map(text).join(", ")}` : "",
    ].filter(Boolean).join("; "));
  }

  /** Draws everything. `places` are the elements by their id. */
  function all(state, places) {
    const m = model(state), put = (id, content) => { places[id].innerHTML = content; };
    const centre = lit.centres(m, state.selection);
    put("palette", palette(m.g.taps));
    put("x", drawX(m, centre.x));
    put("weight", drawWeight(m, centre.weight));
    put("y", drawY(m, centre.y));
    put("size", size(m));
    put("counts", counts(m));
    words(m, put);
    matrix.M(m, centre, state, places);
    matrix.product(m, centre, places);
    lit.index(m, places);
    return m;
  }

  return {all, text, product, unravel, ravel, named, counted, range, wide, crop, cell, panel, attributes,
    select: state => lit.select(state), sum: state => sum.write(lit.model, state)};
})();
