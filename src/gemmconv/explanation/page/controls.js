"use strict";
/* Everything that changes the convolution or moves the selection. A change makes a new problem; if core finds that it does
   not fit, its message is shown and the last problem stays. */

const controls = (() => {
  const AXES = [[], ["length"], ["height", "width"], ["depth", "height", "width"]];
  const {MODES} = core, {pads} = numbers;
  const LARGEST = [0, 32, 16, 4];
  const watchers = [];
  let message, dialog, timer = 0, speed = 1;

  /** Returns an element with properties and children. */
  function make(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  const button = (textContent, onclick) => make("button", {type: "button", textContent, onclick});
  const field = (...children) => make("label", {className: "field"}, ...children);

  /** Returns an element; `show` is called with every new state. */
  function watch(element, show) {
    watchers.push(show);
    return element;
  }

  /** Shows a state, and sets the timer while it plays. */
  function update(state) {
    for (const show of watchers) show(state);
    if (!state.playing) timer = clearTimeout(timer);
    else timer ||= setTimeout(() => {
      timer = 0;
      page.step(1);
    }, 1000 / speed);
  }

  /** Sets the problem that `change` makes of the present one, or shows why it does not fit. */
  function apply(change) {
    message.textContent = "";
    try {
      page.set({problem: numbers.checked(change(page.state.problem)), name: ""});
    } catch (error) {
      if (!(error instanceof core.Misfit)) throw error;
      message.textContent = error.message;
      update(page.state);
    }
  }

  /** Returns an array in another shape, with perhaps another number of spatial axes, of which the last ones are the same. */
  function recast(array, head, spatial) {
    const old = array.shape.slice(head.length), ones = count => Array(Math.max(count, 0)).fill(1), more = spatial.length - old.length;
    const from = {data: array.data, shape: [...array.shape.slice(0, head.length), ...ones(more), ...old]};
    return {shape: [...head, ...spatial], data: numbers.resize(from, [...head, ...ones(-more), ...spatial]).data};
  }

  /** Returns the problem with other sizes, groups or direction. Numbers stay where old and new arrays overlap. There are
      fewer groups if they do not divide the channels any more. */
  function sized(problem, changes) {
    const {x, weight} = problem, kernel = weight.shape.slice(2);
    const next = {...problem, channels: x.shape[0], kernels: numbers.kernels(problem), size: x.shape.slice(1), kernel, ...changes};
    let {channels, kernels, groups, transposed} = next;
    while (channels % groups || kernels % groups) groups--;
    const head = transposed ? [channels, kernels / groups] : [kernels, channels / groups];
    return {...problem, groups, transposed, x: recast(x, [channels], next.size), weight: recast(weight, head, next.kernel)};
  }

  /** Returns the problem with another number of spatial axes. */
  function ranked(problem, rank) {
    const fit = list => draw.range(list.length - rank, rank).map(axis => list[axis] ?? list[0]), {padding, x, weight} = problem;
    const size = fit(x.shape.slice(1)).map(value => Math.min(value, LARGEST[rank]));
    const kernel = fit(weight.shape.slice(2)).map((value, axis) => Math.min(value, size[axis]));
    const others = ["stride", "dilation", "modes", "outputPadding"].map(name => [name, fit(problem[name])]);
    return {...sized(problem, {size, kernel}), ...Object.fromEntries(others),
      padding: padding === "causal" ? "full" : Array.isArray(padding) ? fit(padding) : padding};
  }

  /** Returns the problem transposed or not, without the options that the other one does not have. */
  const turned = (problem, transposed) => ({
    ...sized(problem, {transposed}), flip: false, value: 0, modes: problem.modes.map(() => "zeros"), outputPadding: problem.modes.map(() => 0),
    padding: ["full", "causal"].includes(problem.padding) ? "valid" : problem.padding,
  });

  /** Returns the problem with other padding modes. */
  const withModes = (problem, modes) => ({...problem, modes, value: modes.includes("zeros") ? problem.value : 0});

  const plain = key => [problem => problem[key], (problem, list) => ({...problem, [key]: list})];
  const side = one => [problem => pads(problem).map(pad => pad[one]), (problem, list) => ({...problem,
    padding: pads(problem).map((pad, axis) => pad.map((old, other) => other === one ? list[axis] : old))})];

  // What can be set per axis: [least, most, values of a problem, problem with other values].
  const PER_AXIS = {
    size: [1, 16, p => p.x.shape.slice(1), (p, size) => sized(p, {size})],
    kernel: [1, 7, p => p.weight.shape.slice(2), (p, kernel) => sized(p, {kernel})],
    stride: [1, 4, ...plain("stride")],
    dilation: [1, 4, ...plain("dilation")],
    "padding before": [-2, 6, ...side(0)],
    "padding after": [-2, 6, ...side(1)],
    "output padding": [0, 3, ...plain("outputPadding")],
  };

  /** Returns a number box or a slider. `get` returns one number or several; where these differ a box is empty. */
  function input(type, label, [least, most, get, set]) {
    const element = make("input", {type, step: 1, ariaLabel: label});
    element[type === "range" ? "oninput" : "onchange"] = () => {
      const value = Math.min(Math.max(Math.round(element.value), element.min), element.max);
      if (element.value === "") return update(page.state);
      const given = element.value, beyond = +given > +element.max ? ["most", element.max] : +given < +element.min && ["least", element.min];
      apply(problem => set(problem, value));
      if (!beyond) return;
      const [end, limit] = beyond, then = message.textContent && ` With ${limit}: ${message.textContent}`;
      message.textContent = `${label.replace(" as a number", "")}: at ${end} ${limit}, not ${given}.${then}`;
    };
    return watch(element, ({problem, problem: {padding}}) => {
      const values = [get(problem)].flat(2), [value] = values, last = label.startsWith("size") ? LARGEST[problem.stride.length] : most;
      // a name other than "valid", which is 0, may give each side its own padding
      element.disabled = label.replace(" as a number", "") === "padding" && !Array.isArray(padding) && padding !== "valid";
      // own numbers may be beyond the usual limits
      Object.assign(element, {min: Math.min(least, value), max: Math.max(last, value)});
      element.value = type === "range" || values.every(other => other === value) ? value : "";
    });
  }

  /** Returns a slider with a number box. */
  const slider = (label, ...rest) => make("span", {className: "field"}, label, input("range", label, rest), input("number", `${label} as a number`, rest));

  /** Returns a slider with a number box for all axes at once. */
  function sliderOfAll(name) {
    const [least, most, get, set] = PER_AXIS[name];
    return slider(name, least, most, get, (problem, value) => set(problem, problem.stride.map(() => value)));
  }

  /** Returns a select with a label; `texts` are shown for the values, and some values may be disabled. */
  function select(label, values, get, set, texts = values, disabled = () => false) {
    const element = make("select", {ariaLabel: label, onchange: () => set(element.value)}, ...values.map((value, at) => make("option", {value, textContent: texts[at]})));
    return field(label, watch(element, state => {
      element.value = get(state);
      for (const option of element.options) option.disabled = disabled(state, option.value);
    }));
  }

  function checkbox(label, get, set) {
    const element = make("input", {type: "checkbox", onchange: () => apply(problem => set(problem, element.checked))});
    return field(watch(element, ({problem}) => { element.checked = get(problem); }), label);
  }

  /** Returns two radio buttons that set a part of the state to false or true. */
  function segmented(legend, name, labels) {
    return make("fieldset", {className: "segmented"}, make("legend", {textContent: legend}), ...labels.map((label, on) => {
      const element = make("input", {type: "radio", name, onchange: () => page.set({[name]: Boolean(on)})});
      return make("label", {}, watch(element, state => { element.checked = Boolean(state[name]) === Boolean(on); }), make("span", {textContent: label}));
    }));
  }

  /** Returns the first row: example, playing, direction. */
  function bar() {
    const scrub = make("input", {type: "range", min: 0, step: 1, value: 0, ariaLabel: "output"});
    scrub.oninput = () => page.set({selection: {kind: "output", at: +scrub.value}, pinned: true});
    watch(scrub, ({problem, selection}) => {
      const {outputs} = core.geometry(problem);
      scrub.max = draw.product(outputs) - 1;
      if (selection && selection.kind === "output") scrub.value = selection.at;
      scrub.ariaValueText = draw.named("y", +scrub.value, outputs);
    });
    const play = button("Play", () => page.set({playing: !page.state.playing, pinned: false})), {examples} = page;
    return make("div", {className: "bar"},
      select("example", ["", ...examples.map(({name}) => name)], state => state.name, name => {
        if (!name) return;
        const {problem, at} = examples.find(example => example.name === name);
        message.textContent = "";
        page.set({problem, name, selection: {kind: "output", at}, pinned: false});
      }, ["own numbers", ...examples.map(({about}) => about)]),
      button("Previous", () => page.step(-1)), watch(play, ({playing}) => { play.textContent = playing ? "Pause" : "Play"; }),
      button("Next", () => page.step(1)), field("output", scrub),
      select("outputs per second", [0.25, 0.5, 1, 2, 4, 8], () => speed, value => { speed = value; }),
      segmented("direction", "backward", ["Forward", "Backward"]), segmented("M in", "letters", ["Values", "Letters"]));
  }

  /** Returns the controls of the sizes and the buttons for the arrays. */
  const sizes = () => [
    select("axes", [1, 2, 3], ({problem}) => problem.stride.length, rank => apply(problem => ranked(problem, +rank))),
    slider("channels", 1, 8, p => p.x.shape[0], (p, channels) => sized(p, {channels})), sliderOfAll("size"),
    slider("kernels", 1, 8, numbers.kernels, (p, kernels) => sized(p, {kernels})), sliderOfAll("kernel"),
    ...["x", "weight", "bias", "grad"].map(name => button(`${name} as text`, () => edit(name))),
  ];

  /** Returns the controls of the options. */
  function options() {
    const value = make("input", {type: "number", step: "any", onchange: () => apply(problem => ({...problem, value: +value.value}))});
    return [
      sliderOfAll("stride"), slider("padding", -2, 6, pads, (p, n) => ({...p, padding: p.stride.map(() => [n, n])})),
      select("padding by name", ["numbers", "valid", "same", "same_lower", "full", "causal"],
        ({problem: {padding}}) => Array.isArray(padding) ? "numbers" : padding,
        name => apply(problem => ({...problem, padding: name === "numbers" ? pads(problem) : name}))),
      select("beyond the edge", MODES, ({problem}) => problem.modes[0], mode => apply(p => withModes(p, p.modes.map(() => mode)))),
      field("padding value", watch(value, ({problem}) => { value.value = problem.value; })), sliderOfAll("dilation"),
      select("groups", draw.range(1, 8), ({problem}) => problem.groups, groups => apply(problem => sized(problem, {groups: +groups})),
        undefined, ({problem}, groups) => problem.x.shape[0] % groups || numbers.kernels(problem) % groups),
      checkbox("flip", p => p.flip, (p, flip) => ({...p, flip})),
      checkbox("bias", p => Boolean(p.bias), (p, on) => ({...p, bias: on ? draw.range(1, numbers.kernels(p)) : null})),
      checkbox("transposed", p => p.transposed, turned),
      make("div", {className: "scroll", tabIndex: 0, role: "group", ariaLabel: "per axis and per side"},
        make("table", {}, make("tr", {}, ...["", ...Object.keys(PER_AXIS), "beyond the edge"].map(textContent =>
          make(textContent ? "th" : "td", {textContent}))), ...[0, 1, 2].map(row))),
    ];
  }

  /** Returns the row of one axis: what can be set along it. */
  function row(axis) {
    const replaced = (values, value) => values.map((old, at) => at === axis ? value : old);
    const boxes = Object.entries(PER_AXIS).map(([name, [least, most, get, set]]) => input("number", `${name} of axis ${axis}`, [
      least, most, p => get(p)[axis] ?? 0, (p, value) => set(p, replaced(get(p), value))]));
    const mode = make("select", {ariaLabel: `beyond the edge of axis ${axis}`}, ...MODES.map(textContent => make("option", {textContent})));
    mode.onchange = () => apply(problem => withModes(problem, replaced(problem.modes, mode.value)));
    const heading = make("th"), element = make("tr", {}, heading, ...[...boxes, mode].map(box => make("td", {}, box)));
    return watch(element, ({problem: {modes}}) => {
      element.hidden = axis >= modes.length;
      heading.textContent = `${axis}: ${AXES[modes.length][axis]}`;
      mode.value = modes[axis];
    });
  }

  /** Opens a dialog for an array, or for one number of it. The names are those of a problem or of a selection. */
  function edit(kind, at) {
    const name = {input: "x", output: "grad"}[kind] || kind, array = numbers.array(page.state.problem, name), one = at >= 0;
    const text = make("textarea", {rows: one ? 1 : 12, value: one ? numbers.text(array.data[at]) : numbers.write(array), ariaLabel: "numbers"});
    const error = make("p", {role: "alert", className: "message"}), removable = !one && (name === "bias" || name === "grad");
    const accept = () => {
      try {
        const given = removable && !text.value.trim() ? null : numbers.parse(text.value), {problem} = page.state;
        if (one && given.data.length > 1) throw new Error("give one number");
        const changed = numbers.checked(one ? numbers.edit(problem, name, at, given.data[0]) : numbers.replace(problem, name, given));
        dialog.close(); // first: a cell that has the focus again keeps it when it is drawn again
        apply(() => changed);
      } catch (problem) {
        error.textContent = problem.message;
      }
    };
    text.onkeydown = event => {
      if (event.key !== "Enter" || !(one || event.ctrlKey)) return;
      event.preventDefault();
      accept();
    };
    dialog.ariaLabel = one ? draw.named(name, at, array.shape) : `${name} as text`;
    dialog.replaceChildren(make("h2", {textContent: dialog.ariaLabel}), text, make("p", {textContent: one ? "A number, inf or nan." :
      "JSON, what NumPy prints, MATLAB's [1 2; 3 4], cells of a spreadsheet, or one number a line." + (removable ? " Nothing removes it." : "")}),
    error, button("Apply", accept), button("Cancel", () => dialog.close()));
    dialog.showModal();
    text.select();
  }

  /** Fills an element with all controls. */
  function build(element) {
    const fold = (textContent, open, fields) => make("details", {open}, make("summary", {textContent}), make("div", {className: "fields"}, ...fields));
    message = make("p", {className: "message", role: "alert"});
    dialog = make("dialog");
    element.classList.add("controls");
    element.append(bar(), fold("sizes", innerWidth > 700, sizes()), fold("options", false, options()), message, dialog);
  }

  return {build, update, watch, make, button, edit};
})();
