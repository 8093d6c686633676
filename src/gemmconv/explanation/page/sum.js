"use strict";
/* The sum of a selection, written out, and as one sentence. */

const sum = (() => {
  // A longer list shows its first and its last terms; longer tables their first and last lines.
  const ALL = 48, FIRST = 8, LAST = 2, LINES = 12;
  const {text, named, counted} = draw;

  /** Returns a factor: negative ones in parentheses. */
  const factor = value => value < 0 ? `(${text(value)})` : text(value);

  /** Returns a term {weight, a, b, pad, off}: the product of a and b, in the colour of its weight. */
  function chip(m, {weight, a, b, pad, off}) {
    const letter = m.kind ? `<i>${m.letter(weight)}</i>` : "";
    const classes = `term t${weight % m.g.taps}${pad ? " pad" : ""}${off ? " off" : ""}`;
    return `<span class="${classes}">${letter}${factor(a)}\u00b7${pad || factor(b)}</span>`;
  }

  /** Returns the sum of the products of terms. */
  const total = terms => terms.reduce((all, {a, b}) => all + a * b, 0);

  /** Returns a list without its middle, with how many were left out. */
  function shortened(list, most, first, last, more) {
    if (list.length <= most) return list;
    return [...list.slice(0, first), more(list.length - first - last), ...list.slice(-last)];
  }

  /** Returns terms in lines, one for each value of `of(term)`: [label, terms]. */
  function grouped(terms, of) {
    const lines = new Map();
    for (const term of terms) {
      if (!lines.has(of(term))) lines.set(of(term), []);
      lines.get(of(term)).push(term);
    }
    return [...lines];
  }

  /** Returns the gradient of the loss with respect to an output. */
  const gradient = ({problem}, output) => problem.grad ? problem.grad[output] : 1;

  /** Returns the story of an output: its terms by channel. Where only one weight is meant, the others are off. */
  function output(m, at, only) {
    const {problem, g} = m, {x, weight, bias} = problem, row = Math.floor(at / m.pixels), size = m.inputs / g.inputs[0];
    const first = Math.floor(row / g.perGroup) * g.depth, padding = problem.value === 0 ? "pad" : text(problem.value);
    const terms = core.row(problem, at).map(({weight: w, input}, k) => ({
      weight: w, channel: input < 0 ? first + Math.floor(k / g.taps) : Math.floor(input / size), a: weight.data[w],
      b: input < 0 ? problem.value : x.data[input], pad: input < 0 && padding, off: only !== undefined && w !== only,
    }));
    const lines = grouped(terms, term => term.channel), y = text(m.y[at]);
    if (m.backward) {
      const given = part => part.filter(term => !term.pad).map(term => ({...term, b: gradient(m, at)}));
      return {title: `${named("g", at, g.outputs)} = ${text(gradient(m, at))}`, end: [],
        about: "backward, an output gives each input that it reads weight\u00b7g",
        lines: lines.map(([channel, part]) => [`to channel ${channel}`, given(part), null])};
    }
    const offset = bias ? [["bias", text(bias[row])]] : [], whole = lines.length + offset.length > 1;
    return {title: `${named("y", at, g.outputs)} = ${y}`, end: whole ? [...offset, ["sum", y]] : [],
      lines: lines.map(([channel, part]) => [`channel ${channel}`, part]),
      about: g.transposed ? `row ${at} of M\u1d40 times x; what P adds to this output` :
        `row ${row} of K times column ${at % m.pixels} of P, or row ${at} of M times x`};
  }

  /** Returns the story of an input: the outputs that read it. */
  function input(m, at) {
    const {problem, g} = m, value = problem.x.data[at], name = named("x", at, g.inputs), M = g.transposed ? "M\u1d40" : "M";
    const terms = core.column(problem, at).map(({weight, output: o}) => ({
      weight, channel: Math.floor(o / m.pixels), a: problem.weight.data[weight], b: m.backward ? gradient(m, o) : value,
    }));
    const lines = grouped(terms, term => term.channel), all = text(total(terms));
    if (!m.backward) return {title: `${name} = ${text(value)} is read by ${counted(terms.length, "output")}`, end: [],
      about: `column ${at} of ${M}: what this input adds to them`,
      lines: lines.map(([channel, part]) => [`to channel ${channel}`, part, null])};
    return {title: `gradient of ${name}: ${all}`, end: lines.length > 1 ? [["sum", all]] : [],
      about: `column ${at} of ${M} times g: one output of the ${g.transposed ? "" : "transposed "}convolution`,
      lines: lines.map(([channel, part]) => [`from channel ${channel}`, part])};
  }

  /** Returns the story of a weight: the entries of M that are this weight. */
  function weight(m, at) {
    const {problem} = m, value = problem.weight.data[at], full = named("weight", at, problem.weight.shape);
    const terms = core.ties(problem, at).map(({output: o, input: i}) =>
      ({weight: at, a: m.backward ? gradient(m, o) : value, b: problem.x.data[i]}));
    const single = m.kind === "weight", name = single ? `weight ${m.letter(at)}` : full;
    const places = counted(terms.length, "place");
    const place = m.K.weight.indexOf(at), column = place % m.K.columns, row = (place - column) / m.K.columns;
    if (m.backward) return {title: `gradient of ${name}: ${text(total(terms))}`, lines: [["", terms]], end: [],
      about: `the sum of g\u00b7x over its ${places} in M` +
        (m.g.transposed ? "" : `; row ${row} of g @ P\u1d40, column ${column}`)};
    return {title: `${name} = ${text(value)} stands in ${places} of M`, lines: [["", terms, null]], end: [],
      about: `${single ? full : "it"} is one number, tied: row ${column} of P ` +
        (m.g.transposed ? "is made with it" : "holds what it meets")};
  }

  /** Returns the story of a connection: one weight of one output. */
  function connection(m, {at, other}) {
    const {problem, g} = m, found = core.row(problem, at).filter(term => term.weight === other && term.input >= 0)[0];
    const story = output(m, at, other);
    if (!found) return story;
    const a = problem.weight.data[other], b = problem.x.data[found.input], name = m.kind ? ` ${m.letter(other)}` : "";
    const product = `${factor(a)}\u00b7${factor(b)} = ${text(a * b)}`, x = named("x", found.input, g.inputs);
    return {...story, title: `M[${at}, ${found.input}] is the weight${name} = ${text(a)}`,
      about: `with it, ${named("y", at, g.outputs)} reads ${x} = ${text(b)}: ${product}`};
  }

  /** Returns what is told of a selection: {title, about, lines: [label, terms, total], end: [label, number]}. */
  const story = (m, selection) => ({output: () => output(m, selection.at), input: () => input(m, selection.at),
    weight: () => weight(m, selection.at), connection: () => connection(m, selection)})[selection.kind]();

  /** Returns a row of the table: a label, terms, and what they give. */
  function line(m, [label, terms, given = text(total(terms))], most) {
    const some = shortened(terms, most, FIRST, LAST, count => `\u2026 ${counted(count, "more term")} \u2026`);
    const chips = some.map(term => typeof term === "string" ? term : chip(m, term)).join(given === null ? " " : " + ");
    const head = label ? `<th scope="row">${label}</th>` : "";
    return `<tr>${head}<td>${chips || "nothing"}</td><td>${given === null ? "" : `= ${given}`}</td></tr>`;
  }

  /** Returns {element, sentence}: the sum as DOM, and as one sentence. */
  function write(m, state) {
    const {title, about, lines, end} = story(m, state.selection), element = document.createElement("div");
    const long = lines.reduce((count, [, terms]) => count + terms.length, 0) > ALL, most = long ? FIRST + LAST : ALL;
    const left = count => `<tr><th colspan="3">\u2026 ${counted(count, "more channel")}</th></tr>`;
    const rows = shortened(lines, LINES, 6, 2, left).map(part => typeof part === "string" ? part : line(m, part, most));
    for (const [label, number] of end) {
      rows.push(`<tr class="total"><th scope="row">${label}</th><td></td><td>= ${number}</td></tr>`);
    }
    element.innerHTML = `<h3>${title}</h3><p>${about}</p><table>${rows.join("")}</table>`;
    const given = lines.slice(0, LINES).filter(([label, , number]) => label && number !== null);
    const parts = given.map(([label, terms]) => `${label} gives ${text(total(terms))}`);
    const plain = title.replace(/\[([^\]]*)\]/g, " $1").replace(" = ", " is ");
    return {element, sentence: `${plain}: ${parts.join(", ") || about}.`};
  }

  return {write, factor};
})();
