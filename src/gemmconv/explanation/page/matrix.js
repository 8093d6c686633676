"use strict";
/* Drawing of the matrices: K, P and Y in Falk's arrangement, and M with x above and y beside. */

const matrix = (() => {
  // The most entries of M that are drawn as cells, and the most elements of M on a canvas. Of a large convolution, the
  // most cells of P, of K, of Y, and of M that are drawn.
  const MOST_CELLS = 2400, MOST_SQUARES = 262144, PART_P = 900, PART_K = 400, PART_M = 800;
  const {text, wide, range, crop, cell, panel, attributes} = draw;

  /** Returns the places of lines that have a height or width; `gapBefore(line)` is the space before a line.
      A line may follow one that is left out: then there is more space. */
  function places(lines, size, gapBefore) {
    let end = 0;
    const at = lines.map((line, k) => {
      end += k ? (line === lines[k - 1] + 1 ? gapBefore(line) : 14) : 0;
      end += size;
      return end - size;
    });
    return {at, end};
  }

  /** Returns rectangles behind the cells, one for each pair of runs of neighbouring lines. */
  function runs(lines, places, size, newRun) {
    const found = [];
    lines.forEach((line, k) => {
      if (k && line === lines[k - 1] + 1 && !newRun(line)) found[found.length - 1][1] = places.at[k] + size;
      else found.push([places.at[k], places.at[k] + size]);
    });
    return found;
  }

  /** Returns the rectangles behind cells that may be no connection: a dot stands for it. */
  function dots(name, rows, columns, w, h) {
    const pattern = `<defs><pattern id="dots${name}" width="${w}" height="${h}" patternUnits="userSpaceOnUse">` +
      `<circle class="dot" cx="${w / 2 - .5}" cy="${h / 2 - .5}" r=".8"/></pattern></defs>`;
    const block = ([left, right], [top, bottom]) => `<g transform="translate(${left - .5} ${top - .5})">` +
      `<rect class="grid" style="fill:url(#dots${name})" width="${right - left}" height="${bottom - top}"/></g>`;
    const blocks = rows.flatMap(row => columns.map(column => block(column, row)));
    return `<g aria-hidden="true">${pattern}${blocks.join("")}</g>`;
  }

  /** Returns the kernels that are shown, each of which takes some cells. */
  function shown(m, each) {
    return crop([m.K.rows], m.large ? Math.max(Math.min(24, Math.floor(PART_K / each)), 1) : Infinity, [0])[0];
  }

  /** Returns the cells of a matrix, whose lines have these places; `cellAt(row, column)` describes one. */
  function table(rows, columns, down, across, w, h, cellAt) {
    return rows.map((row, r) => columns.map((column, c) =>
      cell({x: across.at[c], y: down.at[r], w: w - 2, h: h - 2, ...cellAt(row, column)})).join("")).join("");
  }

  /** Returns K with its rows as rows, or upright: as columns beside P, each weight in the row of what it multiplies. */
  function drawK(m, lines, rows, upright, gap) {
    const {K, g, problem} = m, across = upright ? rows.size : 36, values = Array.from(K.data, text);
    const named = m.kind !== "", w = Math.max(wide(values, 11) - 2 + (upright && named ? 14 : 0), upright ? 26 : 24);
    const [size, other] = upright ? [rows.size, w] : [w, named ? across : 24];
    const along = upright ? rows : places(lines, size, gap), kernels = shown(m, lines.length);
    const cross = places(kernels, other, () => 0);
    let body = "", none = false;
    kernels.forEach((kernel, r) => lines.forEach((line, c) => {
      const weight = K.weight[kernel * K.columns + line];
      if (weight < 0) none = true;
      if (weight < 0) return;
      const [x, y] = upright ? [cross.at[r], along.at[c]] : [along.at[c], cross.at[r]];
      body += cell({x, y, w: (upright ? other : size) - 2, h: (upright ? size : other) - 2, beside: upright,
        label: values[kernel * K.columns + line], letter: m.kind && m.letter(weight),
        attributes: `data-kind="weight" data-at="${weight}"`,
        classes: `small tap t${weight % g.taps}${problem.weight.data[weight] === 0 ? " zero" : ""}`});
    }));
    const blocks = runs(lines, along, size, line => line % g.taps === 0);
    const behind = none ? dots("K", upright ? blocks : [[0, cross.end]], upright ? [[0, cross.end]] : blocks,
      upright ? other : size, upright ? size : other) : "";
    const [width, height] = upright ? [cross.end, along.end] : [along.end, cross.end];
    return {svg: panel("K", width, height, behind + body, `K, ${K.rows} by ${K.columns}`), width};
  }

  /** Returns what product and transposed share: the lines, columns and kernels that are shown, the space between lines. */
  function layout(m, centre) {
    const {P, g} = m, [lines, columns] = crop([P.rows, P.columns], m.large ? PART_P : Infinity, centre.P);
    return {lines, columns, kernels: shown(m, columns.length), gap: line => line % g.taps ? 0 : 6};
  }

  /** Returns the width of cells and the places of columns; `texts` are those of all cells. */
  function columnsOf(columns, texts, least) {
    const w = Math.max(wide(texts, 11), least);
    return {w, across: places(columns, w, () => 0)};
  }

  /** Returns the name and the size of a matrix. */
  const caption = (name, rows, columns) => `<p class="name">${name} <small>${rows} \u00d7 ${columns}</small></p>`;

  /** Draws K, P and Y so that a row of K and a column of P meet in Y. */
  function product(m, centre, put) {
    if (m.g.transposed) return transposed(m, centre, put);
    const {P} = m, {lines, columns, kernels, gap} = layout(m, centre), h = 22;
    const label = at => m.places[at] < 0 && m.problem.value === 0 ? "0" : text(P.data[at]);
    const result = (kernel, column) => text(m.shown[kernel * m.pixels + column]);
    const texts = columns.flatMap(column =>
      [...lines.map(line => label(line * P.columns + column)), ...kernels.map(kernel => result(kernel, column))]);
    const {w, across} = columnsOf(columns, texts, 22), down = {...places(lines, h, gap), size: h};
    const cells = table(lines, columns, down, across, w, h, (line, column) => {
      const at = line * P.columns + column, source = m.places[at];
      return {label: label(at), classes: `small${source < 0 ? " pad" : ""}`,
        attributes: `data-cell="${at}"${source < 0 ? "" : ` data-kind="input" data-at="${source}"`}`};
    });
    const y = table(kernels, columns, places(kernels, 24, () => 0), across, w, 24, (kernel, column) => ({
      label: result(kernel, column), classes: "small",
      attributes: `data-kind="output" data-at="${kernel * m.pixels + column}"`,
    }));
    const lying = places(lines, Math.max(wide(Array.from(m.K.data, text), 11) - 2, 24), gap).end;
    const upright = m.phone || Math.max(lying, 320) + across.end + 20 > m.width;
    const K = drawK(m, lines, down, upright, gap);
    arrange(m, put, upright, K.width, across.end);
    const lyingName = caption("K", m.K.rows, P.rows);
    put.P.innerHTML = caption("P", P.rows, P.columns) + panel("P", across.end, down.end, cells, `P, ${P.rows} by ${P.columns}`);
    put.K.innerHTML = upright ? caption("K<sup>T</sup>", P.rows, m.K.rows) + K.svg : K.svg + lyingName;
    put.Y.innerHTML = panel("Y", across.end, kernels.length * 24, y, `Y, ${m.K.rows} by ${P.columns}`) +
      caption(m.backward ? "g" : "Y", m.K.rows, P.columns);
  }

  /** Sets how K, P and the sum stand: K lies below the sum; or it stands beside P, and the sum beside both or above. */
  function arrange(m, put, upright, widthK, widthP) {
    const room = m.width - widthP - 30 - (upright ? widthK : 0), narrow = room - m.besides - 36, above = room < 280;
    const beside = Math.max(Math.min(440, narrow < 300 ? room : narrow), upright ? 280 : widthK - 10);
    put.falk.className = `falk${!upright ? "" : above ? " stack" : " tall"}`;
    put.sum.style.width = `${above ? Math.min(m.width, 600) : beside}px`;
  }

  /** Draws K transposed, X and their product P, whose entries are added to the outputs. */
  function transposed(m, centre, put) {
    const {P, problem} = m, {lines, columns, kernels, gap} = layout(m, centre), h = 24;
    const result = (line, column) => text(P.data[line * P.columns + column]);
    const input = (channel, column) => text(problem.x.data[channel * P.columns + column]);
    const texts = columns.flatMap(column =>
      [...lines.map(line => result(line, column)), ...kernels.map(channel => input(channel, column))]);
    const {w, across} = columnsOf(columns, texts, 24), down = {...places(lines, h, gap), size: h};
    const x = table(kernels, columns, places(kernels, h, () => 0), across, w, h, (channel, column) => ({
      label: input(channel, column), classes: "small",
      attributes: `data-kind="input" data-at="${channel * P.columns + column}"`,
    }));
    const cells = table(lines, columns, down, across, w, h, (line, column) => {
      const at = line * P.columns + column, target = m.places[at];
      return {label: result(line, column), classes: `small${target < 0 ? " pad" : ""}`,
        attributes: `data-cell="${at}"${target < 0 ? "" : ` data-kind="output" data-at="${target}"`}`};
    });
    put.falk.className = "falk meet";
    put.sum.style.width = "340px";
    put.P.innerHTML = caption("X", m.K.rows, P.columns) + panel("X", across.end, kernels.length * h, x, `X, ${m.K.rows} by ${P.columns}`);
    put.K.innerHTML = drawK(m, lines, down, true, gap).svg + caption("K<sup>T</sup>", P.rows, m.K.rows);
    put.Y.innerHTML = panel("P", across.end, down.end, cells, `P, ${P.rows} by ${P.columns}`) + caption("P", P.rows, P.columns);
  }

  /** Returns the entries of some rows of M: for each row a Map from a column to its weights. */
  function entries(m, rows) {
    return rows.map(output => {
      const found = new Map();
      for (const {weight, input} of core.row(m.problem, output)) {
        if (input >= 0) found.set(input, [...(found.get(input) || []), weight]);
      }
      return found;
    });
  }

  /** Draws M: all of it by cells, or all of it by squares on a canvas, or the part around the selection. */
  function drawConnections(m, centre, state, put) {
    const {entries: total} = m.counts, cut = total > MOST_CELLS || m.large && total > PART_M;
    if (cut && m.inputs * m.outputs <= MOST_SQUARES) return squares(m, put);
    let rows = range(0, m.outputs), columns = range(0, m.inputs);
    if (cut) {
      rows = crop([m.outputs], Math.max(Math.min(24, Math.floor(PART_M * m.outputs / total)), 1), centre.M)[0];
      const used = new Set(entries(m, rows).flatMap(found => [...found.keys()]));
      columns = columns.filter(column => used.has(column));
      const middle = columns.findIndex(column => column >= centre.M[1]);
      columns = crop([columns.length], 120, [middle])[0].map(k => columns[k]);
    }
    const names = {weight: "A letter is a weight", tap: "A letter is a tap of a kernel", "": "# is a weight"};
    put["note-M"].textContent = [
      cut ? `rows ${rows[0]} to ${rows[rows.length - 1]} of ${m.outputs}, ` +
        `with ${columns.length} of ${m.inputs} columns. ` : "",
      state.letters === false ? "A number is a weight" : names[m.kind], "; a dot is no connection, zero for good.",
      m.problem.modes.some(mode => mode !== "zeros") ? " * is a sum of weights." : "",
    ].join("");
    put.M.innerHTML = cells(m, state, rows, columns);
  }

  /** Returns M by cells. */
  function cells(m, state, rows, columns) {
    const {g, problem} = m, found = entries(m, rows), last = m.g.inputs[g.rank], channel = m.inputs / g.inputs[0];
    const value = weights => text(weights.reduce((all, weight) => all + problem.weight.data[weight], 0));
    const label = weights => state.letters === false ? value(weights) : weights.length > 1 ? "*" : m.letter(weights[0]);
    const above = columns.map(column => text(problem.x.data[column])), beside = rows.map(row => text(m.shown[row]));
    const most = Math.max(...found.flatMap(row => [...row.values()]).map(weights => label(weights).length), 1);
    const gap = column => column % channel === 0 ? 9 : column % last === 0 ? 3 : 0;
    const apart = row => row % m.pixels ? 0 : 6;
    const room = Math.floor((m.width - 70 - places(columns, 0, gap).end) / columns.length);
    const w = Math.max(Math.min(Math.max(room, 15), m.phone ? 16 : 20), most > 1 ? most * 7 + 5 : 0);
    const h = Math.min(w, 20);
    const turn = wide(above, 10) - 2 > w, top = turn ? wide(above, 10) + 4 : 20, side = wide(beside, 11);
    const across = places(columns, w, gap), down = places(rows, h, apart), right = across.end + 10;
    const shift = {at: down.at.map(y => y + top + 8), end: down.end + top + 8};
    const hidden = cells => `<g class="tiny" aria-hidden="true">${cells}</g>`, endOfRow = column => column % last === 0;
    let body = dots("M", runs(rows, shift, h, row => row % m.pixels === 0), runs(columns, across, w, endOfRow), w, h);
    body += hidden(columns.map((column, c) => xAbove(column, across.at[c], w, top, above[c], turn)).join(""));
    const index = new Map(columns.map((column, c) => [column, c]));
    rows.forEach((row, r) => {
      const sorted = [...found[r]].filter(([column]) => index.has(column)).sort(([a], [b]) => a - b);
      const inRow = sorted.map(([column, weights]) =>
        cell({x: across.at[index.get(column)], y: shift.at[r], w: w - 1, h: h - 1, label: label(weights),
          attributes: attributes("connection", row, ` data-weight="${weights[0]}" data-cell="${row * m.inputs + column}"`),
          classes: `${w < 18 ? "tiny" : "small"} tap t${weights[0] % g.taps}${value(weights) === "0" ? " zero" : ""}`,
        }));
      if (inRow.length) body += `<g role="row">${inRow.join("")}</g>`;
      body += hidden(cell({x: right, y: shift.at[r], w: side, h: h - 1, label: beside[r],
        attributes: `data-kind="output" data-at="${row}" data-panel="ys"`}));
    });
    m.besides = right + side + 4;
    return panel("M", right + side + 1, shift.end + 1, body, `M, ${m.outputs} by ${m.inputs}`, true);
  }

  /** Returns an element of x above its column of M; a wide one is turned. */
  function xAbove(column, x, w, top, label, turn) {
    const attributes = `data-kind="input" data-at="${column}" data-panel="xs"`;
    const drawn = cell({x, y: 0, w: w - 1, h: top, label, attributes});
    return turn ? drawn.replace("<text ", `<text transform="rotate(-90 ${(w - 1) / 2} ${top / 2})" `) : drawn;
  }

  /** Draws M as squares on one canvas; lit.js paints those that are selected. */
  function squares(m, put) {
    const size = Math.max(Math.min(Math.floor(m.width / m.inputs), Math.floor(800 / m.outputs), 8), 2);
    const width = m.inputs * size, height = m.outputs * size, name = `M, ${m.outputs} by ${m.inputs}`;
    m.besides = width;
    put["note-M"].textContent =
      "Each square is a connection. Select an output, an input or a weight to see its squares.";
    put.M.innerHTML = `<canvas width="${width}" height="${height}" role="img" aria-label="${name}"></canvas>`;
    const context = put.M.firstChild.getContext("2d"), style = getComputedStyle(document.documentElement);
    const found = entries(m, range(0, m.outputs)), colour = name => style.getPropertyValue(name).trim();
    const back = colour("--panel"), grey = colour("--edge");
    const paint = (row, column, fill) => {
      context.fillStyle = fill || (found[row].has(column) ? grey : back);
      context.fillRect(column * size, row * size, size - (size > 3), size - (size > 3));
    };
    context.fillStyle = back;
    context.fillRect(0, 0, width, height);
    found.forEach((row, r) => row.forEach((_, column) => paint(r, column)));
    m.canvas = {paint, size, found, element: put.M.firstChild, ink: colour("--ink")};
  }

  return {product, M: drawConnections};
})();
