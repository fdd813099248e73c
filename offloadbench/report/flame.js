"use strict";
// The flame graph: roots on top, one frame a function. Reads #flame-data, draws into #flame.
(() => {
  const ROW_PX = 20;
  const SMALLEST_PX = 1.5;
  const LETTER_PX = 6.7;
  // classes of difference: share of the dearer side's whole cost from which they begin
  const LEVELS = [0.01, 0.04, 0.16];
  const SVG = "http://www.w3.org/2000/svg";

  const data = JSON.parse(document.getElementById("flame-data").textContent);
  const part = (name) => document.getElementById(`flame-${name}`);
  const [canvas, state, status, found, legend] = ["canvas", "state", "status", "found", "legend"].map(part);
  const [left, right, search] = ["left", "right", "search"].map(part);
  const svg = canvas.querySelector("svg");

  const count = data.parent.length;
  const nameOf = (frame) => data.names[data.name[frame]] || "all";
  const moduleOf = (frame) => data.modules[data.module[frame]];
  const children = Array.from({ length: count }, () => []);
  for (let frame = 1; frame < count; frame += 1) children[data.parent[frame]].push(frame);
  for (const list of children) list.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  // callers come first, so one pass from the end adds everything up
  const totals = data.own.map((own) => {
    const sum = Float64Array.from(own);
    for (let frame = count - 1; frame > 0; frame -= 1) sum[data.parent[frame]] += sum[frame];
    return sum;
  });

  let zoomed = 0;
  let drawn = [];
  let focused = 0;

  const comparing = () => part("mode-difference").checked;
  const sides = () => ({ base: Number(left.value), side: Number(right.value) });
  const figure = (value) => {
    const size = Math.abs(value);
    return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : size >= 0.001 ? 4 : 6);
  };
  const percent = (ratio) => `${(ratio * 100).toFixed(Math.abs(ratio) < 0.0995 ? 2 : 0)} %`;
  const signed = (value) => (value > 0 ? "+" : "−") + figure(Math.abs(value));

  /** What a frame cost in both sides, and whether the difference is more than sampling noise (95 %, Poisson). */
  function compare(frame) {
    const { base, side } = sides();
    const [before, after] = [totals[base][frame], totals[side][frame]];
    const noise = 1.96 * Math.sqrt(before * data.sides[base].sample + after * data.sides[side].sample);
    return { before, after, change: after - before, noise, real: Math.abs(after - before) > noise };
  }

  function differenceClass(frame) {
    const { change, real } = compare(frame);
    const { base, side } = sides();
    const share = Math.abs(change) / Math.max(totals[base][0], totals[side][0]);
    const level = real ? LEVELS.filter((begin) => share >= begin).length : 0;
    return level ? `${change < 0 ? "less" : "more"}${level}` : "same";
  }

  /** Frames that have room, from the top: the callers of the zoomed one at full width, then all that it called. */
  function layout(width) {
    const values = totals[sides().side];
    const places = [];
    const callers = [];
    for (let frame = zoomed; frame > 0; frame = data.parent[frame]) callers.unshift(data.parent[frame]);
    callers.forEach((frame, depth) => places.push({ frame, depth, x: 0, width, caller: true }));
    const scale = width / values[zoomed];
    let hidden = 0;
    const stack = [{ frame: zoomed, depth: callers.length, x: 0 }];
    while (stack.length) {
      const { frame, depth, x } = stack.pop();
      if (values[frame] * scale < SMALLEST_PX) {
        hidden += values[frame] > 0 ? 1 : 0;
        continue;
      }
      places.push({ frame, depth, x, width: values[frame] * scale, caller: false });
      let next = x;
      for (const child of children[frame]) {
        stack.push({ frame: child, depth: depth + 1, x: next });
        next += values[child] * scale;
      }
    }
    return { places, hidden };
  }

  function element(name, attributes) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function drawFrame({ frame, depth, x, width, caller }, wanted) {
    const group = element("g", { role: "button", tabindex: -1, "data-frame": frame, "aria-label": describe(frame) });
    const module = moduleOf(frame);
    const colour = comparing() ? differenceClass(frame) : module ? "" : "same";
    const hit = wanted && nameOf(frame).toLowerCase().includes(wanted);
    group.setAttribute("class", ["frame", colour, caller && "caller", wanted && (hit ? "hit" : "miss")].filter(Boolean).join(" "));
    const rect = element("rect", { x, y: depth * ROW_PX, width: Math.max(width - 0.6, 0.6), height: ROW_PX - 1, rx: 1.5 });
    if (!colour) rect.setAttribute("fill", module.fill);
    group.append(rect);
    const room = Math.floor((width - 7) / LETTER_PX);
    if (room >= 3) {
      const text = element("text", { x: x + 4, y: depth * ROW_PX + ROW_PX * 0.68 });
      if (!colour) text.setAttribute("fill", module.ink);
      const name = nameOf(frame);
      text.textContent = name.length <= room ? name : `${name.slice(0, room - 1)}…`;
      group.append(text);
    }
    return group;
  }

  function describe(frame) {
    const { side, base } = sides();
    const { before, after, change, real } = compare(frame);
    const words = [nameOf(frame)];
    if (moduleOf(frame)) words.push(moduleOf(frame).label);
    else if (frame) words.push("process");
    words.push(`${figure(after)} ${data.unit}, ${percent(after / totals[side][0])} of ${data.sides[side].label}`);
    if (comparing() && base !== side) {
      const noise = real ? "" : ", within sampling noise";
      const relative = before > 0 ? ` (${change > 0 ? "+" : "−"}${percent(Math.abs(change) / before)})` : "";
      words.push(`${signed(change)}${relative} against ${figure(before)} in ${data.sides[base].label}${noise}`);
    }
    return words.join(" · ");
  }

  function describeSides() {
    const { base, side } = sides();
    const [one, other] = [data.sides[base].label, data.sides[side].label];
    const [before, after] = [totals[base][0], totals[side][0]];
    if (!comparing()) return `${other}: ${figure(after)} ${data.unit}, coloured by module`;
    const text = `${other} against ${one}: ${figure(before)} → ${figure(after)} ${data.unit} (${signed(after - before)})`;
    let gone = 0;
    for (let frame = 1; frame < count; frame += 1) if (totals[side][frame] === 0) gone += data.own[base][frame];
    const share = gone / before;
    return share < 0.001 ? text : `${text}. ${percent(share)} of ${one} is in call paths that ${other} does not have: swap to see them`;
  }

  function draw() {
    const { side } = sides();
    while (zoomed > 0 && totals[side][zoomed] === 0) zoomed = data.parent[zoomed];
    const width = Math.max(canvas.clientWidth, 240);
    const { places, hidden } = layout(width);
    const height = (1 + Math.max(...places.map((place) => place.depth))) * ROW_PX;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const wanted = search.value.trim().toLowerCase();
    drawn = places.map((place) => ({ ...place, group: drawFrame(place, wanted) }));
    svg.replaceChildren(...drawn.map((place) => place.group));
    if (!drawn.some((place) => place.frame === focused)) focused = zoomed;
    drawn.find((place) => place.frame === focused).group.setAttribute("tabindex", 0);
    state.textContent = describeSides();
    part("hidden").textContent = hidden ? ` Not drawn at this zoom: ${hidden} frames narrower than ${SMALLEST_PX} px.` : "";
    part("reset").disabled = zoomed === 0;
    status.textContent = describe(zoomed);
    drawLegend();
    tellFound(wanted);
  }

  function drawLegend() {
    const entry = (label, css, fill) => {
      const item = document.createElement("li");
      const swatch = element("svg", { viewBox: "0 0 12 12", "aria-hidden": true, class: `frame ${css}` });
      swatch.append(element("rect", { width: 12, height: 12, rx: 2, ...(fill && { fill }) }));
      item.append(swatch, label);
      return item;
    };
    if (!comparing()) {
      const used = new Set(drawn.map((place) => data.module[place.frame]));
      const shown = data.modules.map((module, at) => module && used.has(at) && entry(module.label, "", module.fill));
      legend.replaceChildren(...shown.filter(Boolean));
      return;
    }
    const range = (level) => {
      const [begin, end] = [LEVELS[level - 1], LEVELS[level]].map((ratio) => ratio && ratio * 100);
      return end ? `${begin} to ${end} %` : `over ${begin} %`;
    };
    legend.replaceChildren(
      ...[3, 2, 1].map((level) => entry(`less: ${range(level)}`, `less${level}`)),
      entry("same or within noise", "same"),
      ...[1, 2, 3].map((level) => entry(`more: ${range(level)}`, `more${level}`)),
    );
  }

  /** The share of the frames that match, each weight once: below a match its own callees are part of it. */
  function tellFound(wanted) {
    if (!wanted) {
      found.textContent = "";
      return;
    }
    const matches = data.names.map((name) => name.toLowerCase().includes(wanted));
    const inside = new Uint8Array(count);
    const sums = data.sides.map(() => 0);
    const names = new Set();
    for (let frame = 1; frame < count; frame += 1) {
      const match = matches[data.name[frame]];
      if (match) names.add(data.name[frame]);
      if (match && !inside[data.parent[frame]]) totals.forEach((total, at) => (sums[at] += total[frame]));
      inside[frame] = match || inside[data.parent[frame]] ? 1 : 0;
    }
    const { base, side } = sides();
    const shown = comparing() && base !== side ? [side, base] : [side];
    const shares = shown.map((at) => `${percent(sums[at] / totals[at][0])} of ${data.sides[at].label}`);
    const unseen = drawn.some((place) => matches[data.name[place.frame]]) ? "" : ", too narrow to be drawn here";
    found.textContent = names.size
      ? `${names.size} ${names.size === 1 ? "name" : "names"}: ${shares.join(", ")}${unseen}`
      : "no match";
  }

  function zoom(frame) {
    zoomed = frame;
    focused = frame;
    draw();
  }

  function focus(frame) {
    drawn.forEach((place) => place.group.setAttribute("tabindex", place.frame === frame ? 0 : -1));
    focused = frame;
    drawn.find((place) => place.frame === frame).group.focus();
  }

  /** The frame that an arrow key leads to: callers are above, callees below, neighbours beside. */
  function neighbour(key) {
    const here = drawn.find((place) => place.frame === focused);
    if (key === "ArrowUp") return drawn.find((place) => place.frame === data.parent[focused]);
    if (key === "ArrowDown") {
      const below = drawn.filter((place) => place.depth === here.depth + 1 && data.parent[place.frame] === focused);
      return below.sort((a, b) => b.width - a.width)[0];
    }
    const beside = drawn.filter((place) => place.depth === here.depth).sort((a, b) => a.x - b.x);
    return beside[beside.indexOf(here) + (key === "ArrowRight" ? 1 : -1)];
  }

  const frameOf = (event) => event.target.closest("g[data-frame]");
  svg.addEventListener("click", (event) => {
    const group = frameOf(event);
    if (group) zoom(Number(group.dataset.frame));
  });
  svg.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") zoom(focused);
    else if (event.key === "Escape") zoom(0);
    else if (event.key.startsWith("Arrow")) {
      const next = neighbour(event.key);
      if (next) focus(next.frame);
    } else return;
    event.preventDefault();
    if (!event.key.startsWith("Arrow")) focus(focused);
  });
  for (const kind of ["pointerover", "focusin"]) {
    svg.addEventListener(kind, (event) => {
      const group = frameOf(event);
      if (group) status.textContent = describe(Number(group.dataset.frame));
    });
  }
  svg.addEventListener("pointerleave", () => (status.textContent = describe(zoomed)));

  function choose() {
    part("baseline").hidden = !comparing();
    part("swap").hidden = !comparing();
    part("right-label").textContent = comparing() ? "Compared" : "Case";
    draw();
  }
  part("swap").addEventListener("click", () => {
    [left.value, right.value] = [right.value, left.value];
    draw();
  });
  part("reset").addEventListener("click", () => zoom(0));
  search.addEventListener("input", draw);
  for (const control of [left, right, part("mode-difference"), part("mode-module")]) {
    control.addEventListener("change", choose);
  }
  part("graph").hidden = false;
  let width = 0;
  new ResizeObserver(() => {
    if (canvas.clientWidth !== width) draw();
    width = canvas.clientWidth;
  }).observe(canvas);
  choose();
})();
