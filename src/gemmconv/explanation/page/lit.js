"use strict";
/* What a selection lights in each panel. A selection only changes classes of cells: drawing again would be slow.
   on: takes part, in the colour of its tap; at: is selected; hit: is an output or an input at the other end. */

const lit = (() => {
  let model = null, cells = {}, now = [], squares = [];

  /** Returns the indices around which a large array is shown: {x, weight, y, P: [row, column], M: [row, column]}. */
  function centres(m, selection) {
    const {problem, g} = m, {output, input, weight} = ends(m, selection), pixel = output % m.pixels;
    const row = Math.max(m.K.weight.indexOf(weight), 0) % m.K.columns;
    return {
      x: draw.unravel(Math.max(input, 0), g.inputs), weight: draw.unravel(weight, problem.weight.shape),
      y: draw.unravel(output, g.outputs), M: [output, Math.max(input, 0)],
      P: [row, g.transposed ? Math.max(input, 0) % m.P.columns : pixel],
    };
  }

  /** Returns an output, an input and a weight that meet, and to which a selection belongs. */
  function ends(m, {kind, at, other}) {
    const {problem} = m;
    if (kind === "input") return {input: at, ...(core.column(problem, at)[0] || {output: 0, weight: 0})};
    if (kind === "weight") return {weight: at, ...(core.ties(problem, at)[0] || {output: 0, input: 0})};
    const terms = core.row(problem, at), inside = terms.filter(term => term.input >= 0);
    const found = kind === "connection" ? inside.find(term => term.weight === other) : inside[inside.length >> 1];
    return {output: at, ...(found || terms[0] || {input: 0, weight: 0})};
  }

  /** Returns which key of x the k-th term of an output reads: its flat index, or "channel:position" in the padding. */
  function read(m, output, k, input) {
    const {g} = m;
    if (g.transposed) return input;
    const [, height, width] = g.written, pixel = output % m.pixels, tap = k % g.taps, [, b, c] = g.sizes;
    const where = [Math.floor(pixel / (height * width)), Math.floor(pixel / width) % height, pixel % width];
    const taps = [Math.floor(tap / (b * c)), Math.floor(tap / c) % b, tap % c], begin = 3 - g.rank;
    const position = g.pads.map((pads, axis) => where[begin + axis] * g.stride[begin + axis] +
      taps[begin + axis] * g.dilation[begin + axis] - pads[0]);
    const channel = Math.floor(Math.floor(output / m.pixels) / g.perGroup) * g.depth + Math.floor(k / g.taps);
    const at = draw.ravel([channel, ...position], g.inputs);
    return at < 0 ? `${channel}:${position}` : at;
  }

  /** Returns the cell of P of the k-th term of an output. */
  function patch(m, output, k) {
    const {perGroup, depth, taps} = m.g, group = Math.floor(Math.floor(output / m.pixels) / perGroup);
    return (group * depth * taps + k) * m.P.columns + output % m.pixels;
  }

  // What each kind of selection lights: each calls light(panel, key, classes).
  const lights = {
    output(m, {at}, light, only) {
      const {problem, g} = m, key = only === undefined ? "on" : "on at";
      for (const panel of ["y", "Y", "ys"]) light(panel, at, "at");
      core.row(problem, at).forEach(({weight, input}, k) => {
        if (only !== undefined && weight !== only) return;
        const tap = `on t${weight % g.taps}`;
        light("weight", weight, key);
        light("K", weight, key);
        light("x", read(m, at, k, input), tap);
        if (input >= 0) for (const panel of ["xs", "X"]) light(panel, input, tap);
        if (input >= 0) light("M", at * m.inputs + input, key);
        if (!g.transposed) light("P", patch(m, at, k), tap);
      });
      if (g.transposed) m.places.forEach((target, entry) => {
        const tap = m.tapOfRow(Math.floor(entry / m.P.columns));
        if (target === at && rowMeets(m, entry, only)) light("P", entry, `on t${tap}`);
      });
    },
    connection: (m, {at, other}, light) => lights.output(m, {at}, light, other),
    input(m, {at}, light) {
      const {problem, g} = m, column = at % m.P.columns, first = Math.floor(at / m.P.columns) * m.K.columns;
      for (const panel of ["x", "xs", "X"]) light(panel, at, "at");
      light("copy", at, "hit");
      for (const {weight, output} of core.column(problem, at)) {
        for (const panel of ["weight", "K"]) light(panel, weight, "on");
        for (const panel of ["y", "Y", "ys"]) light(panel, output, "hit");
        light("M", output * m.inputs + at, "on");
      }
      m.places.forEach((place, entry) => {
        const row = Math.floor(entry / m.P.columns);
        const made = place >= 0 && entry % m.P.columns === column && m.K.weight[first + row] >= 0;
        if (g.transposed ? made : place === at) light("P", entry, `on t${m.tapOfRow(row)}`);
      });
    },
    weight(m, {at}, light) {
      const tap = `on t${at % m.g.taps}`, row = m.K.weight.indexOf(at) % m.K.columns;
      for (const panel of ["weight", "K"]) light(panel, at, "on at");
      for (const {output, input} of core.ties(m.problem, at)) {
        light("M", output * m.inputs + input, "on");
        for (const panel of ["x", "xs", "X"]) light(panel, input, tap);
        for (const panel of ["y", "Y", "ys"]) light(panel, output, "hit");
      }
      for (let column = 0; column < m.P.columns; column++) light("P", row * m.P.columns + column, tap);
    },
  };

  /** Returns whether an entry of a transposed P belongs to a weight, where only one is asked for. */
  const rowMeets = (m, entry, only) =>
    only === undefined || m.K.weight.indexOf(only) % m.K.columns === Math.floor(entry / m.P.columns);

  /** Remembers the cells that were drawn, by panel and key. */
  function index(m, places) {
    model = m;
    lit.model = m;
    [now, squares] = [[], []];
    const panels = ["x", "copy", "weight", "y", "K", "P", "X", "Y", "M", "xs", "ys"];
    cells = Object.fromEntries(panels.map(name => [name, new Map()]));
    const put = (panel, key, cell) => {
      if (!cells[panel].has(key)) cells[panel].set(key, []);
      cells[panel].get(key).push(cell);
    };
    for (const id of ["x", "weight", "y", "P", "K", "Y", "M"]) for (const cell of places[id].querySelectorAll(".c")) {
      const data = cell.dataset, panel = data.panel || cell.ownerSVGElement.dataset.panel;
      put(panel, data.pad || +(data.cell || data.at), cell);
      if (data.source) put("copy", +data.source, cell);
    }
  }

  /** Lights what a selection lights, and nothing else. Returns false if the selected cell is not drawn. */
  function select({selection}) {
    const m = model, drawn = {output: "y", input: "x", weight: "weight", connection: "M"}[selection.kind];
    for (const [cell, classes] of now) cell.classList.remove(...classes);
    for (const [row, column] of squares) m.canvas.paint(row, column);
    [now, squares] = [[], []];
    let seen = selection.kind === "connection" ? false : cells[drawn].has(selection.at);
    lights[selection.kind](m, selection, (panel, key, names) => {
      if (panel === "M" && m.canvas) squares.push([Math.floor(key / m.inputs), key % m.inputs]);
      for (const cell of cells[panel].get(key) || []) {
        // the cells of weights have the colour of their tap already
        const classes = names.split(" ").filter(name => name[0] !== "t" || !["weight", "K", "M"].includes(panel));
        cell.classList.add(...classes);
        now.push([cell, classes]);
        seen ||= panel === drawn;
      }
    });
    for (const [row, column] of squares) m.canvas.paint(row, column, m.canvas.ink);
    return seen || drawn === "M" && Boolean(m.canvas);
  }

  return {centres, ends, index, select, model: null};
})();
