"use strict";
/* The page: its state, its events, its keys, and the comparison with what gemmconv computed. */

const page = (() => {
  const $ = id => document.getElementById(id);
  const PLACES = "palette x weight y size counts P K Y M sum falk title-x title-weight title-y title-product title-M " +
    "note-x note-weight note-M";
  const KEYS = {
    "Tab": "to the next of x, weight, y and M", "arrows, Home, End": "move within it",
    "Page Up, Page Down": "to another channel or kernel", "Enter": "keep the selection, or let it go",
    "Escape": "let it go", "F2": "change the number", "Space": "play all outputs, or stop",
    "[ and ]": "previous output, next output", "b": "forward or backward", "?": "this list",
    "Mouse": "move it over a cell to select it; click to keep it selected; double-click to change its number",
    "Touch": "tap a cell to keep it selected; tap it twice to change its number",
  };
  // What can have the focus in each grid.
  const GRIDS = {x: "input", weight: "weight", y: "output", M: "connection"};
  // The elements by their id; the state when the page was loaded.
  const places = {}, first = {};
  const state = {
    problem: null, name: "", selection: null, pinned: false, backward: false, letters: true, playing: false,
  };
  let drawn = null, width = 0, timer = 0;

  /** Returns a number of JSON, in which those that are not finite are strings. */
  const number = value => typeof value === "string" ? numbers.number(value) : value;

  /** Returns a problem with everything that its JSON leaves out. */
  function complete(given) {
    const rank = given.x.shape.length - 1, each = value => Array(rank).fill(value);
    const filled = ({shape, data}) => ({shape, data: data ? data.map(number) : draw.range(1, draw.product(shape))});
    const list = numbers => numbers ? numbers.map(number) : null;
    return {
      stride: each(1), dilation: each(1), groups: 1, padding: each([0, 0]), modes: each("zeros"), flip: false,
      transposed: false, outputPadding: each(0), ...given, value: number(given.value ?? 0), x: filled(given.x),
      weight: filled(given.weight), bias: list(given.bias), grad: list(given.grad),
    };
  }

  /** Returns a selection that the problem has: the given one, or the output in the middle of channel 0. */
  function fitting(problem, selection) {
    const g = core.geometry(problem), outputs = draw.product(g.outputs);
    const inputs = draw.product(g.inputs), weights = problem.weight.data.length;
    const sizes = {output: outputs, connection: outputs, input: inputs, weight: weights};
    const connects = ({weight, input}) => weight === selection.other && input >= 0;
    if (selection && selection.at < sizes[selection.kind] &&
      (selection.kind !== "connection" || core.row(problem, selection.at).some(connects))) return selection;
    return {kind: "output", at: draw.ravel(g.outputs.map((size, axis) => axis ? (size - 1) >> 1 : 0), g.outputs)};
  }

  /** Merges changes into the state and shows them. A change of the selection only toggles classes. */
  function set(changes, silent) {
    const before = {...state};
    Object.assign(state, changes);
    if (state.problem !== before.problem || !state.selection) state.selection = fitting(state.problem, state.selection);
    if (drawn && ["problem", "backward", "letters"].every(key => state[key] === before[key])) select();
    else redraw();
    controls.update(state);
    // on a phone, y may be out of sight when the reader starts to play
    if (state.playing && !before.playing && drawn.phone) places.y.scrollIntoView({block: "nearest"});
    if (silent) return;
    if (["problem", "backward", "letters", "pinned"].some(key => state[key] !== before[key])) warn(first.wrong);
    remember(before);
  }

  /** Draws everything, and selects. */
  function redraw() {
    paint();
    select(0);
    document.title = `${state.name ? `${state.name}: a` : "A"} convolution as a matrix multiplication`;
    tell();
    // all boxes are measured before one is changed: each change would lay out the page again
    const boxes = [...document.querySelectorAll(".box, .falk")];
    const scrolls = boxes.map(box => box.scrollWidth > box.clientWidth && !box.querySelector("[tabindex]"));
    boxes.forEach((box, k) => scrolls[k] ? box.tabIndex = 0 : box.removeAttribute("tabindex"));
  }

  /** Says in the last line what was checked. */
  function tell() {
    $("checked").textContent = state.problem === first.problem ? first.checked :
      "Computed by this page. Only the numbers that it was made with are compared with gemmconv.";
  }

  /** Draws the panels. One cell of each grid can be reached with Tab; the cell that had the focus keeps it. */
  function paint() {
    const focused = document.activeElement, {kind, at, weight} = focused.dataset, grid = focused.closest(".box")?.id;
    const scrolled = $("M").scrollLeft;
    drawn = draw.all(state, places);
    width = innerWidth;
    if (scrolled) $("M").scrollLeft = scrolled;
    for (const [id, what] of Object.entries(GRIDS)) {
      const all = `[data-kind="${what}"][role]`, entry = weight ? `[data-weight="${weight}"]` : "";
      const one = `${all}[data-at="${at}"]${entry}`;
      const same = kind === what && id === grid && $(id).querySelector(one), cell = same || $(id).querySelector(all);
      if (cell) cell.tabIndex = 0;
      if (same) same.focus();
    }
  }

  /** Shows the selection: lights its cells, writes its sum, and says it. The sum keeps at least this height, so that
      nothing below it moves; it is measured before anything changes, because the page is laid out then. */
  function select(height = places.sum.offsetHeight) {
    if (!draw.select(state)) {
      paint();
      draw.select(state);
    }
    const {element, sentence} = draw.sum(state), {sum} = places;
    sum.style.minHeight = `${height}px`;
    sum.replaceChildren(element);
    clearTimeout(timer);
    timer = setTimeout(() => { $("say").textContent = sentence; }, state.playing ? 1200 : 250);
    const boxes = {x: ".on, #x .at", weight: ".on", y: ".at", matrices: "#P .on", falk: "#P .on", M: "[role].on"};
    for (const [id, which] of Object.entries(boxes)) reveal($(id), which);
  }

  /** Scrolls a box to its first lit cell, if that is out of sight and nobody points into the box. */
  function reveal(box, which) {
    if (box.scrollWidth <= box.clientWidth || box.contains(document.activeElement) || box.matches(":hover")) return;
    const cell = box.querySelector(which)?.getBoundingClientRect(), frame = box.getBoundingClientRect();
    const hidden = cell && (cell.left < frame.left || cell.right > frame.right);
    if (hidden) box.scrollLeft += cell.left - frame.left - frame.width / 3;
  }

  /** Puts the state into the address, so that Back works; a state that is too large for it goes into the history alone.
      A page in a frame may be allowed neither. */
  function remember(before) {
    const {fragment = ""} = link.write(state), kept = fragment ? null : {...state, playing: false};
    const changed = ["problem", "backward"].some(key => state[key] !== before[key]);
    if (fragment && fragment === location.hash || !(state.pinned || before.pinned || changed)) return;
    try {
      history[state.problem === before.problem ? "replaceState" : "pushState"](kept, "", fragment || location.pathname);
    } catch { /* a sandboxed frame */ }
  }

  /** Restores the state that the history or the address holds, or the first; shows why not, if it cannot. */
  function restore({state: kept} = {}) {
    const {message, state: found = first.state} = kept ? {state: kept} : link.read(location.hash);
    warn(message || first.wrong);
    if (message) return;
    const [given, original] = [found, first].map(({problem}) => link.write({problem}).fragment);
    set({...found, problem: given && given === original ? first.problem : found.problem}, true);
  }

  /** Returns the selection of a cell. */
  const selectionOf = ({kind, at, weight}) => ({kind, at: +at, ...(kind === "connection" ? {other: +weight} : {})});

  /** Shows a cell's selection for now. */
  function preview(event) {
    const cell = event.target.closest?.("[data-kind]");
    if (cell && !state.pinned && !state.playing) set({selection: selectionOf(cell.dataset)});
  }

  /** Pins the selection of a cell; lets go of the one that is pinned. */
  function pin(cell) {
    const selection = selectionOf(cell.dataset), same = JSON.stringify(selection) === JSON.stringify(state.selection);
    set({selection, pinned: !(state.pinned && same), playing: false});
  }

  /** Selects the next output, or the one before. */
  function step(by) {
    const count = drawn.outputs, from = lit.ends(drawn, state.selection).output;
    set({selection: {kind: "output", at: (from + by + count) % count}});
  }

  /** Returns where a cell is drawn. */
  const where = cell => { const {e, f} = cell.transform.baseVal[0].matrix; return [e, f]; };

  /** Returns the cell of a grid to which a key moves. */
  function neighbour(cell, key) {
    const grid = cell.ownerSVGElement, {panel} = grid.dataset, [x, y] = where(cell);
    const others = grid.querySelectorAll(`[data-kind="${cell.dataset.kind}"][role]`);
    const channel = draw.product(drawn.shapes[panel === "M" ? "y" : panel].slice(1));
    const jump = {PageUp: -channel, PageDown: channel}[key];
    const cost = {
      ArrowRight: ([a, b]) => b === y && a > x ? a : Infinity, ArrowLeft: ([a, b]) => b === y && a < x ? -a : Infinity,
      ArrowDown: ([a, b]) => b > y ? b - y + 2 * Math.abs(a - x) : Infinity,
      ArrowUp: ([a, b]) => b < y ? y - b + 2 * Math.abs(a - x) : Infinity,
      Home: ([a, b]) => b === y ? a : Infinity, End: ([a, b]) => b === y ? -a : Infinity,
    }[key] || (([a], other) => +other.dataset.at === +cell.dataset.at + jump ? Math.abs(a - x) : Infinity);
    let [best, least] = [null, Infinity];
    for (const other of others) {
      const price = cost(where(other), other);
      if (price < least) [best, least] = [other, price];
    }
    return best;
  }

  /** Moves the focus to a cell: it becomes the one of its grid that Tab reaches. */
  function focus(cell) {
    for (const other of cell.ownerSVGElement.querySelectorAll('[tabindex="0"]')) other.tabIndex = -1;
    cell.tabIndex = 0;
    cell.focus();
  }

  /** Names a cell before it gets the focus, for screen readers. */
  function name(cell) {
    const {kind, at, weight} = cell.dataset, {problem, shapes} = drawn;
    const place = panel => draw.unravel(at, shapes[panel]).join(", ");
    const letter = weight => drawn.kind ? drawn.letter(weight) : "", {text} = draw;
    const names = {
      output: () => `y ${place("y")} is ${text(drawn.shown[at])}`,
      input: () => `x ${place("x")} is ${text(problem.x.data[at])}`,
      weight: () => `weight ${letter(at)} ${place("weight")} is ${text(problem.weight.data[at])}`,
      connection: () => `output ${place("y")}, weight ${letter(weight) || weight}`,
    };
    cell.setAttribute("aria-label", names[kind]());
  }

  /** Lets the reader change the number of a cell; of an entry of M, the weight. */
  function edit(cell) {
    const {kind, at, weight} = cell.dataset;
    controls.edit(kind === "connection" ? "weight" : kind, +(weight || at));
  }

  /** Handles a key on a cell of a grid; returns whether it was one. */
  function cellKey(event, cell) {
    if (/^(Arrow|Home|End|Page)/.test(event.key)) {
      const next = neighbour(cell, event.key);
      if (next) focus(next);
      if (next && drawn.large && !state.pinned) redraw();
    } else if (event.key === "Enter") pin(cell);
    else if (event.key === "F2") edit(cell);
    else return false;
    return true;
  }

  /** Handles a key. */
  function key(event) {
    // on some keyboards, brackets are typed with Alt or with Ctrl and Alt
    const modified = event.metaKey || (event.ctrlKey || event.altKey) && !"[]".includes(event.key);
    if (modified || document.querySelector("dialog[open]")) return;
    const cell = event.target.closest?.('[role="gridcell"][data-kind]');
    const own = event.target.closest?.("input, select, textarea, button, summary");
    const typed = own && (own.type !== "range" && own.tagName !== "BUTTON" || event.key === " ");
    const keys = {
      " ": () => set({playing: !state.playing, pinned: false}), "[": () => step(-1), "]": () => step(1),
      b: () => set({backward: !state.backward}), "?": () => $("keys").showModal(),
      Escape: () => set({pinned: false, playing: false}),
    };
    const done = (cell && cellKey(event, cell)) || (!typed && keys[event.key] && (keys[event.key](), true));
    if (done) event.preventDefault();
  }

  /** Shows the page dark or light. */
  function scheme(dark) {
    document.documentElement.dataset.scheme = dark ? "dark" : "light";
    $("scheme").textContent = dark ? "Light" : "Dark";
    if (drawn && drawn.canvas) redraw();
  }

  /** Finds, or says in a red banner if it is not so, that the outputs are those that gemmconv computed. */
  function compare(result) {
    if (!result) return;
    const {version} = result, theirs = (result.y || []).map(number), {problem, y: ours} = drawn;
    const arrays = [[...problem.x.data, problem.value], problem.weight.data, problem.bias || []];
    const larger = (most, value) => Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most;
    const [x, weight, bias] = arrays.map(data => data.reduce(larger, 0));
    const largest = x * weight * problem.weight.data.length + bias;
    // gemmconv may add in another order: this changes the last digits of sums, unless all are whole numbers of 53 bits
    const whole = largest <= Number.MAX_SAFE_INTEGER && arrays.every(data => data.every(Number.isInteger));
    const near = whole ? 0 : 1e-13 * largest;
    const same = (a, b) => Object.is(a + 0, b + 0) || Math.abs(a - b) <= near;
    const wrong = [...ours.keys()].filter(at => !same(ours[at], theirs[at])).length;
    if (wrong || theirs.length !== ours.length) {
      const differ = `${draw.counted(wrong, "output")} of this page differ${wrong === 1 ? "s" : ""}`;
      first.wrong = `${differ} from gemmconv ${version}. Do not trust it.`;
      warn(first.wrong);
      return;
    }
    const all = `all ${draw.counted(ours.length, "output")}`;
    first.checked = `checked: ${all} equal those of gemmconv ${version}${whole ? "" : " to rounding"}`;
  }

  /** Shows a message in the red banner; an empty one hides it. */
  function warn(message) {
    if ($("wrong").textContent === message) return; // it is said once
    $("wrong").textContent = message;
    $("wrong").hidden = !message;
  }

  /** Listens to what the reader does. */
  function listen() {
    const main = document.querySelector("main"), dark = matchMedia("(prefers-color-scheme: dark)");
    main.addEventListener("pointerover", event => { if (event.pointerType !== "touch") preview(event); });
    main.addEventListener("focusin", event => {
      const cell = event.target.closest('[role="gridcell"]');
      if (!cell) return;
      name(cell);
      preview(event);
    });
    main.addEventListener("click", event => {
      const cell = event.target.closest("[data-kind]");
      if (!cell) return;
      if (cell.hasAttribute("tabindex")) focus(cell);
      pin(cell);
    });
    main.addEventListener("dblclick", event => {
      const cell = event.target.closest("[data-kind]");
      if (cell) edit(cell);
    });
    addEventListener("keydown", key);
    addEventListener("popstate", restore);
    addEventListener("resize", () => { if (width !== innerWidth) redraw(); });
    dark.addEventListener("change", event => scheme(event.matches));
    $("scheme").addEventListener("click", () => scheme(document.documentElement.dataset.scheme !== "dark"));
    $("help").addEventListener("click", () => $("keys").showModal());
    scheme(dark.matches);
  }

  /** Starts the page. */
  function start() {
    const data = JSON.parse($("data").textContent);
    for (const [id, textContent] of [["style", STYLE], ["palette", ""]]) {
      document.head.append(Object.assign(document.createElement("style"), {id, textContent}));
    }
    for (const id of PLACES.split(" ")) places[id] = $(id);
    const keys = Object.entries(KEYS).map(([key, what]) => `<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`);
    const close = '<form method="dialog"><button>Close</button></form>';
    const kept = "<p>Enter or a click keeps the selection; Escape lets it go.</p>";
    $("keys").innerHTML = `<h2 id="keys-title">Keys, mouse and touch</h2><dl>${keys.join("")}</dl>${kept}${close}`;
    page.examples = data.examples.map(example => ({...example, problem: complete(example.problem)}));
    const {name, selection, backward} = data;
    Object.assign(state, {problem: complete(data.problem), name, selection, backward});
    listen();
    controls.build($("controls"));
    exporter.build($("out"));
    set({}, true);
    Object.assign(first, {problem: state.problem, checked: "", wrong: "", state: {...state}});
    compare(data.result);
    tell();
    if (location.hash) restore();
    page.drawn = true;
  }

  return {state, set, step, start, compare, complete, examples: [], drawn: false};
})();

page.start();
