"use strict";
/* A state as the fragment of an address, such as #x=3x4x4&w=2x3x2x2&s=2,2&a=o5, and back. What is left out has its usual
   value; numbers are left out where they are 1, 2, 3, ... What a fragment holds is never trusted. */

const link = (() => {
  const LONGEST = 2000;
  const KINDS = ["output", "input", "weight", "connection"];
  const LISTS = {s: ["stride", 1], d: ["dilation", 1], o: ["outputPadding", 0]};

  /** Returns an array as text: 3x4x4, or 1x2:5,6. */
  const arrayText = array => array.shape.join("x") + (numbers.counted(array) ? "" : `:${array.data.map(numbers.text)}`);

  /** Returns {fragment} of a state, or {message} if it is too long. */
  function write({problem, name, selection, pinned, backward, letters}) {
    const {padding, modes, value, groups} = problem, {kind, at, other} = selection || {};
    const parts = {
      x: arrayText(problem.x), w: arrayText(problem.weight), b: problem.bias && problem.bias.map(numbers.text),
      u: problem.grad && Array.from(problem.grad, numbers.text), g: groups > 1 && groups, v: Object.is(value, 0) ? "" : numbers.text(value),
      p: typeof padding === "string" ? padding : padding.flat().some(Boolean) && padding.map(pair => pair.join(":")),
      m: modes.some(mode => mode !== "zeros") && modes.map(mode => mode[0]).join(""), e: name && encodeURIComponent(name),
      a: kind && kind[0] + at + (kind === "connection" ? `.${other}` : ""),
      f: problem.flip && 1, t: problem.transposed && 1, n: pinned && 1, k: backward && 1, l: letters === false && "0",
    };
    for (const [key, [list, usual]] of Object.entries(LISTS)) if (problem[list].some(number => number !== usual)) parts[key] = problem[list];
    const fragment = "#" + Object.entries(parts).filter(([, text]) => text).map(([key, text]) => `${key}=${text}`).join("&");
    return fragment.length > LONGEST ? {message: "too large for a link: save the file"} : {fragment};
  }

  /** Throws an Error unless something holds. */
  function need(holds, message) {
    if (!holds) throw new Error(message);
  }

  /** Returns whole numbers from text. */
  const whole = (text, separator = ",") => text.split(separator).map(part => {
    need(/^-?\d{1,8}$/.test(part), "a whole number is expected");
    return Number(part);
  });

  /** Returns numbers from text. */
  const list = text => text.split(",").map(word => numbers.number(word));

  /** Returns an array from its text. */
  function array(text) {
    const [sizes, data] = text.split(":"), shape = whole(sizes, "x"), size = draw.product(shape);
    need(shape.length < 6 && shape.every(n => n > 0) && size <= numbers.MOST, `an array has at most ${numbers.MOST} numbers`);
    return {shape, data: data ? list(data) : draw.range(1, size)};
  }

  /** Returns the problem that texts by their keys describe. */
  function problemOf(text) {
    const x = array(text.x), weight = array(text.w), rank = x.shape.length - 1, zeros = Array(Math.max(rank, 0)).fill(0);
    const problem = {
      x, weight, bias: text.b ? list(text.b) : null, grad: text.u ? list(text.u) : null, groups: text.g ? whole(text.g)[0] : 1,
      padding: !text.p ? zeros.map(() => [0, 0]) : /^[a-z_]+$/.test(text.p) ? text.p : text.p.split(",").map(pair => whole(pair, ":")),
      modes: text.m ? Array.from(text.m, letter => core.MODES.find(mode => mode[0] === letter)) : zeros.map(() => "zeros"),
      value: text.v ? numbers.number(text.v) : 0, flip: text.f === "1", transposed: text.t === "1",
    };
    for (const [key, [name, usual]] of Object.entries(LISTS)) problem[name] = text[key] ? whole(text[key]) : zeros.map(() => usual);
    core.geometry(problem);
    return numbers.checked(problem);
  }

  /** Returns the selection in a text such as o5 or c5.3. */
  function selectionOf(text, problem) {
    const [, letter, at, other] = /^([oiwc])(\d{1,5})(?:\.(\d{1,5}))?$/.exec(text) || [], kind = KINDS.find(name => name[0] === letter);
    const {outputs} = core.geometry(problem), shape = {input: problem.x.shape, weight: problem.weight.shape}[kind] || outputs;
    need(kind && at < draw.product(shape) && (kind === "connection" ? other < problem.weight.data.length : !other), "nothing is at the selected place");
    return {kind, at: Number(at), ...(other && {other: Number(other)})};
  }

  /** Returns {state} of a fragment, {} if it is empty, or {message} if it makes no sense. */
  function read(fragment) {
    const body = fragment.replace(/^#/, "");
    if (!body) return {};
    try {
      need(body.length <= LONGEST, `it has more than ${LONGEST} characters`);
      const text = Object.create(null);
      for (const part of body.split("&")) {
        const [, key, value] = /^([xwbusdopmvgfteankl])=([^=]+)$/.exec(part) || [];
        need(key && !(key in text), "a key is unknown, or there twice");
        text[key] = decodeURIComponent(value);
      }
      need(text.x && text.w, "");
      const problem = problemOf(text), {name = ""} = page.examples.find(example => example.name === text.e) || {};
      const selection = text.a ? selectionOf(text.a, problem) : null;
      return {state: {problem, name, selection, pinned: text.n === "1", backward: text.k === "1", letters: text.l !== "0"}};
    } catch (error) {
      const why = error.message ? `is ignored: ${error.message}` : "is not complete";
      return {message: `this link ${why}; the page shows its own numbers`};
    }
  }

  return {read, write};
})();
