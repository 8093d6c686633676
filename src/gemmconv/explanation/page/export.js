"use strict";
/* What can be taken along: a link, code, pictures, text, and the page itself with other numbers in it. */

const exporter = (() => {
  // The page as it was loaded: nothing is drawn yet when this runs.
  const SOURCE = document.documentElement.outerHTML;
  // The attributes of an SVG element that are kept, and the properties that are computed into it.
  const KEPT = "id x y width height rx d transform cx cy r x1 x2 y1 y2 patternUnits".split(" ");
  const PAINT = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity"];
  const FONT = ["fill", "font-family", "font-size", "font-weight", "text-anchor", "dominant-baseline"];
  const USUAL = {stroke: "none", "stroke-dasharray": "none", opacity: "1"};
  const PANELS = ["x", "weight", "y", "P", "K", "Y", "M"];
  // The most entries of a matrix in the text.
  const MOST = 100000;

  const escaped = text => text.replace(/[&<>"]/g, sign => `&#${sign.charCodeAt()};`);

  /** Returns a computed value in a form that every reader of SVG knows. */
  function plain(value) {
    const parts = /^color\(srgb ([\d.e-]+) ([\d.e-]+) ([\d.e-]+)/.exec(value);
    if (parts) return `rgb(${parts.slice(1).map(part => Math.round(part * 255))})`;
    return value === "rgba(0, 0, 0, 0)" ? "none" : value.replace(/url\("?[^"#]*(#[\w-]+)"?\)/, "url($1)");
  }

  /** Returns attributes of SVG. */
  const attributes = pairs => pairs.map(([name, value]) => ` ${name}="${escaped(String(value))}"`).join("");

  /** Returns an SVG element of the page as text. */
  function markup(node) {
    if (node.nodeType === Node.TEXT_NODE) return escaped(node.data);
    const tag = node.localName, style = getComputedStyle(node), names = tag === "text" ? FONT : tag === "g" ? [] : PAINT;
    if (style.display === "none" || tag === "defs") return "";
    const kept = KEPT.filter(name => node.hasAttribute(name)).map(name => [name, node.getAttribute(name)]);
    const painted = names.map(name => [name, plain(style.getPropertyValue(name))]).filter(([name, value]) => USUAL[name] !== value);
    return `<${tag}${attributes([...kept, ...painted])}>${[...node.childNodes].map(markup).join("")}</${tag}>`;
  }

  /** Returns the words of the HTML in an element, and what is behind them, each where it is on the page. */
  function words(element) {
    const range = document.createRange(), behind = [], found = [], walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode, parent = node.parentElement, style = getComputedStyle(parent), back = plain(style.backgroundColor);
      const {x, y, width, height} = parent.getBoundingClientRect();
      if (parent.closest("svg, button, .hidden")) continue;
      if (back !== "none") behind.push(`<rect${attributes(Object.entries({x, y, width, height, rx: 3, fill: back}))}/>`);
      for (const {0: word, index} of node.data.matchAll(/\S+/g)) {
        range.setStart(node, index);
        range.setEnd(node, index + word.length);
        const place = range.getBoundingClientRect(), font = FONT.slice(1, 4).map(name => [name, style.getPropertyValue(name)]);
        if (place.width) found.push(`<text${attributes([["x", place.x], ["y", place.y + place.height / 2], ["fill", plain(style.color)],
          ["dominant-baseline", "central"], ...font])}>${escaped(word)}</text>`);
      }
    }
    return [...behind, ...found].join("");
  }

  /** Returns the SVG of one panel, or of everything, as text. */
  function svg(name) {
    const main = document.querySelector("main"), all = selector => [...main.querySelectorAll(selector)];
    const sections = name ? [] : all("section:not(#out)"), panels = all(`${name ? `#${name}` : ""} svg, ${name ? `#${name}` : ""} canvas`);
    const boxes = [...panels, ...sections].map(element => element.getBoundingClientRect());
    const edge = (least, side) => Math[least](...boxes.map(box => box[side])), left = edge("min", "left") - 8, top = edge("min", "top") - 8;
    const width = Math.ceil(edge("max", "right") - left + 8), height = Math.ceil(edge("max", "bottom") - top + 8);
    const body = panels.map((panel, at) => {
      const {x, y, width: w, height: h} = boxes[at];
      if (panel.localName === "canvas") return `<image${attributes(Object.entries({x, y, width: w, height: h, href: panel.toDataURL()}))}/>`;
      return `<g transform="translate(${x} ${y})">${[...panel.childNodes].map(markup).join("")}</g>`;
    });
    return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">` +
      `<defs>${all("pattern").map(markup).join("")}</defs><rect width="100%" height="100%" fill="${plain(getComputedStyle(document.body).backgroundColor)}"/>` +
      `<g transform="translate(${-left} ${-top})">${sections.map(words).join("")}${body.join("")}</g></svg>`;
  }

  /** Returns a promise of a PNG, twice as large as an SVG. */
  async function png(text) {
    const image = new Image();
    image.src = `data:image/svg+xml,${encodeURIComponent(text)}`;
    await image.decode();
    const scale = Math.min(2, 16000 / Math.max(image.width, image.height));
    const canvas = Object.assign(document.createElement("canvas"), {width: image.width * scale, height: image.height * scale});
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return new Promise(resolve => canvas.toBlob(resolve));
  }

  const tuple = list => `(${list.join(", ")})`;

  /** Returns cells in rows, each of which is an aligned line. */
  function grid(cells, columns) {
    const wide = Math.max(...cells.map(cell => cell.length)), line = cells.map(cell => cell.padStart(wide));
    return draw.range(0, cells.length / columns).map(row => `    ${line.slice(row * columns, (row + 1) * columns).join(" ")}`);
  }

  /** Returns an array as lines, in blocks of rows and columns. */
  function blocks(name, shape, cells) {
    const size = draw.product(shape.slice(-2)), lead = shape.slice(0, -2);
    return draw.range(0, cells.length / size).flatMap(at => [
      ...(lead.length ? [`  ${draw.named(name, at, lead)}`] : []), ...grid(cells.slice(at * size, (at + 1) * size), shape.at(-1))]);
  }

  /** Returns the rows of M: a letter is a weight, . no connection, * several weights. */
  function letters({problem: {x: {shape}}, problem, g, y, inputs, letter}) {
    const channel = draw.product(shape.slice(1)), labels = Array.from(y, (_, at) => draw.named("y", at, g.outputs).replaceAll(" ", ""));
    return labels.map((label, output) => {
      const signs = Array(inputs).fill(".");
      for (const {weight, input} of core.row(problem, output)) if (input >= 0) signs[input] = signs[input] === "." ? letter(weight) : "*";
      const line = signs.map((sign, at) => (!at || at % shape.at(-1) ? "" : at % channel ? " " : "|") + sign).join("");
      return `    ${label.padEnd(labels.at(-1).length)}  ${line}`;
    });
  }

  /** Returns what is set along the axes: one number or word if it is the same along all. */
  const perAxis = list => list.every(one => one === list[0]) ? String(list[0]) : tuple(list);

  /** Returns the options as the command prints them. */
  function options({problem: {padding, modes, value, ...problem}, g}) {
    const sides = g.formula.map(([, before, after]) => [before, after]), pairs = sides.map(tuple);
    const pads = pairs.length === 1 ? pairs[0] : tuple(pairs), named = typeof padding === "string" && padding !== "valid";
    const even = sides.every(([before, after]) => before === after), copies = modes.some(mode => mode !== "zeros");
    return [
      `stride ${perAxis(problem.stride)}`,
      `padding ${named ? `${pads} = "${padding}"` : even ? perAxis(sides.map(([before]) => before)) : pads}`,
      ...(copies ? [`padding mode ${perAxis(modes)}`] : []), ...(value === 0 ? [] : [`padding value ${draw.text(value)}`]),
      `dilation ${perAxis(problem.dilation)}`, `groups ${problem.groups}`,
      problem.transposed ? `output padding ${perAxis(problem.outputPadding)}, transposed` :
        problem.flip ? "flipped (the convolution of mathematics)" : "not flipped (a cross-correlation, as in neural networks)",
    ].join(", ");
  }

  /** Returns what is shown as text: sizes, arrays, matrices, one sum, M by letters. */
  function text({selection}) {
    const m = lit.model, {problem, g, y, K, P, kind, letter} = m, {x, weight, bias, transposed} = problem;
    const {output: at} = lit.ends(m, selection), added = bias ? ` + ${sum.factor(bias[Math.floor(at / m.pixels)])}` : "", plus = bias ? " + bias" : "";
    const terms = core.row(problem, at).map(({weight: w, input}) => `${sum.factor(weight.data[w])}*${sum.factor(input < 0 ? problem.value : x.data[input])}`);
    const M = transposed ? "M.T" : "M", cells = list => Array.from(list, draw.text);
    const matrix = (name, data, columns) => [`${name} ${tuple([data.length / columns, columns])}`, ...(data.length > MOST ? ["  too large"] : grid(cells(data), columns)), ""];
    return [
      `x ${tuple(x.shape)} -> y ${tuple(g.outputs)}     weight ${tuple(weight.shape)}`,
      options(m),
      "", "x", ...blocks("x", x.shape, cells(x.data)), "", `weight${kind && ", and the letter by which M names each"}`,
      ...blocks("weight", weight.shape, weight.data.map((value, w) => `${kind && `${letter(w)}=`}${draw.text(value)}`)),
      ...(bias ? ["", `bias  ${cells(bias).join(" ")}`] : []), "", transposed ? "P = K.T @ X" : `Y = K @ P${plus}`, "",
      ...matrix("K", K.data, K.columns), ...matrix("P", P.data, P.columns), ...matrix("Y", y, m.pixels),
      `ONE OUTPUT    ${draw.named("y", at, g.outputs)} = ${terms.join(" + ") || 0}${added} = ${draw.text(y[at])}`, "",
      `y = ${M} @ x${plus}     ${M} ${tuple([m.outputs, m.inputs])}, . is no connection`,
      ...(m.outputs * m.inputs > MOST ? ["  too large"] : letters(m)),
    ].join("\n") + "\n";
  }

  /** Returns the page as a file that begins with a state. */
  function file({problem, name, selection, backward}) {
    const copy = new DOMParser().parseFromString(SOURCE, "text/html"), script = copy.getElementById("data");
    const finite = (_, value) => typeof value !== "number" || Number.isFinite(value) ? value : numbers.text(value);
    const data = {...JSON.parse(script.textContent), problem, name, selection, backward, result: null};
    script.textContent = JSON.stringify(data, finite).replaceAll("<", "\\u003c");
    return `<!doctype html>\n${copy.documentElement.outerHTML}\n`;
  }

  /** Lets the reader save a file. */
  function save(name, content, type) {
    const href = URL.createObjectURL(new Blob([content], {type}));
    controls.make("a", {href, download: name}).click();
    setTimeout(() => URL.revokeObjectURL(href), 10000);
  }

  /** Copies a text; returns a promise of whether it worked. */
  async function copy(content) {
    try {
      await navigator.clipboard.writeText(content);
      return true;
    } catch {
      const area = controls.make("textarea", {value: content});
      document.body.append(area);
      area.select();
      const worked = document.execCommand("copy");
      area.remove();
      return worked;
    }
  }

  /** Fills an element with the buttons. */
  function build(element) {
    const {make, button} = controls, status = make("p", {role: "status"}), listing = make("pre", {tabIndex: 0, ariaLabel: "code"});
    const copied = async (what, content) => { status.textContent = await copy(content) ? `${what} copied` : `${what} cannot be copied here`; };
    const choice = (label, values) => make("select", {ariaLabel: label}, ...values.map(value => make("option", {textContent: value})));
    const library = choice("library", code.libraries), panel = choice("picture of", ["everything", ...PANELS]);
    const picture = () => svg(panel.selectedIndex ? panel.value : ""), fold = make("details", {}, make("summary", {textContent: "Code"}), listing);
    const program = () => {
      try {
        return code.write(page.state.problem, library.value);
      } catch (error) {
        return `${error.message}\n`;
      }
    };
    const show = () => { if (fold.open) listing.textContent = program(); };
    fold.ontoggle = library.onchange = show;
    element.classList.add("controls");
    element.append(make("div", {className: "bar"},
      button("Copy link", () => {
        const {fragment, message} = link.write(page.state);
        if (fragment) copied("link", location.href.split("#")[0] + fragment);
        else status.textContent = message;
      }), library, button("Copy code", () => copied("code", program())), panel,
      button("SVG", () => save(`${panel.value}.svg`, picture(), "image/svg+xml")), button("PNG", async () => save(`${panel.value}.png`, await png(picture()))),
      button("Text", () => save("convolution.txt", text(page.state), "text/plain")),
      button("Save page", () => save("convolution.html", file(page.state), "text/html"))), controls.watch(fold, show), status);
  }

  return {build, svg, png, text, file, copy};
})();
