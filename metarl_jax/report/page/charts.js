// Curves as SVG, drawn anew for every width: text keeps its size, on a phone as on a wall.

const FEW = 12; // points up to which each is shown, with its interval as a bar
const MARKED = 30; // evaluations up to which each is marked by a point
const DASHES = { dashed: "6 4", dotted: "1.5 4" };

function svg(name, attributes, parent, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

// Where a value stands along an axis, before that is stretched over the chart.
const along = (axis, value) => (axis.logarithmic ? Math.log10(value) : value);

function domain(axis, values, from = []) {
  const places = [...values.map((value) => along(axis, value)), ...from];
  return [Math.min(...places), Math.max(...places)];
}

function domains({ x, y, lines, levels }) {
  const told = lines.flatMap((line) => [line.ys, line.low ?? [], line.high ?? []].flat());
  const ys = [...told, ...levels.map((level) => level.y)].filter((value) => value !== null);
  const positive = y.logarithmic ? ys.filter((value) => value > 0) : ys;
  const [y0, y1] = domain(y, positive);
  let [x0, x1] = domain(x, lines.flatMap((line) => line.xs), x.kind === "steps" ? [0] : []);
  const room = (y1 - y0 || Math.abs(y1) || 1) * 0.07;
  if (x0 === x1) [x0, x1] = [x0 - 0.5, x1 + 0.5];
  const aside = x.kind === "values" ? 0.06 * (x1 - x0) : 0.2;
  if (x.kind !== "steps" && (x.kind === "values" || x1 - x0 < FEW)) [x0, x1] = [x0 - aside, x1 + aside];
  return { x0, x1, y0: y0 - room, y1: y1 + room };
}

function endLabels(chart) {
  const named = chart.lines.filter((line) => chart.named.includes(line.name) && line.look !== "pale");
  const ends = named.map((line) => {
    const y = line.ys.findLast((value) => value !== null) ?? 0;
    return { ...line, y, text: `${line.name}: ${quantity(y)}` };
  });
  const levels = chart.levels.map((level) => (
    { ...level, text: `${level.name}: ${quantity(level.y)}` }));
  return [...ends, ...levels];
}

function ticksOf(axis, low, high, count) {
  if (axis.ticks) return axis.ticks.map(([place, text]) => [along(axis, place), text]);
  if (axis.logarithmic) return logTicks(low, high).map((tick) => [tick, roundCount(10 ** tick)]);
  return evenTicks(low, high, count, axis.kind === "episodes").map((tick) => [tick, roundCount(tick)]);
}

function textWidth(text) {
  textWidth.context ??= document.createElement("canvas").getContext("2d");
  textWidth.context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  return textWidth.context.measureText(text).width;
}

function drawChart(holder, chart) {
  holder.replaceChildren();
  if (!chart.lines.length) {
    holder.append(element("p", { class: "note" }, "Nothing was recorded."));
    return;
  }
  const width = holder.clientWidth;
  const labels = endLabels(chart);
  const widest = Math.max(0, ...labels.map((label) => textWidth(label.text)));
  const beside = !chart.small && width - widest > 300;
  const height = Math.round(Math.min(chart.small ? 180 : 320, Math.max(170, width * 0.62)));
  const { x0, x1, y0, y1 } = domains(chart);
  const yTicks = ticksOf(chart.y, y0, y1, Math.max(3, height / 55));
  const left = 12 + Math.max(0, ...yTicks.map(([, text]) => textWidth(text)));
  const right = beside && labels.length ? widest + 16 : 20;
  const lines = Math.max(1, ...(chart.x.ticks ?? []).map(([, text]) => text.split("\n").length));
  const [top, bottom] = [chart.y.label ? 22 : 8, height - 26 - 14 * lines];
  const placeX = (place) => lerp(left, width - right, (place - x0) / (x1 - x0));
  const placeY = (place) => lerp(bottom, top, (place - y0) / (y1 - y0));
  const at = {
    x: (x) => placeX(along(chart.x, x)), y: (y) => placeY(along(chart.y, y)),
    bottom, top, left, right: width - right,
  };
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" }, holder);
  for (const [tick, text] of yTicks) {
    const y = placeY(tick);
    svg("line", { x1: left, x2: at.right, y1: y, y2: y, stroke: "var(--faint)" }, root);
    svg("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, root, text);
  }
  drawXTicks(root, ticksOf(chart.x, x0, x1, Math.max(2, (at.right - left) / 80)), placeX, bottom);
  svg("text", { x: at.right, y: height - 4, "text-anchor": "end" }, root, chart.x.label);
  if (chart.y.label) svg("text", { x: 0, y: 11 }, root, chart.y.label);
  chart.levels.forEach((level) => drawLevel(root, level, at));
  const dashedLast = (a, b) => (a.look === "dashed") - (b.look === "dashed");
  [...chart.lines].reverse().sort(dashedLast).forEach((line) => drawLine(root, line, at, chart));
  if (beside) labelBeside(root, labels, at);
  else if (!chart.small) holder.append(swatches(labels));
  addTip(holder, root, chart, at, width);
}

// Texts that would touch the one before are left out.
function drawXTicks(root, ticks, placeX, bottom) {
  let end = -Infinity;
  for (const [tick, text] of ticks) {
    const rows = text.split("\n");
    const half = Math.max(...rows.map(textWidth)) / 2;
    if (placeX(tick) - half < end + 6) continue;
    end = placeX(tick) + half;
    rows.forEach((row, i) => {
      svg("text", { x: placeX(tick), y: bottom + 18 + 14 * i, "text-anchor": "middle" }, root, row);
    });
  }
}

function drawLevel(root, level, at) {
  svg("line", {
    x1: at.left, x2: at.right, y1: at.y(level.y), y2: at.y(level.y), "stroke-width": 1.4,
    stroke: level.colour, "stroke-dasharray": DASHES[level.look],
  }, root);
}

function drawLine(root, line, at, chart) {
  const points = line.xs.map((x, i) => [x, line.ys[i], i]).filter((p) => p[1] !== null);
  const dots = line.look === "dots" || line.look === "points";
  const few = dots || (chart.x.kind !== "steps" && points.length <= FEW);
  const path = (pairs) => pairs.map(([x, y]) => `${at.x(x).toFixed(1)},${at.y(y).toFixed(1)}`).join("L");
  if (line.low && !few) {
    const edge = [...points.map(([x, , i]) => [x, line.high[i]]),
      ...points.map(([x, , i]) => [x, line.low[i]]).reverse()];
    svg("path", { d: `M${path(edge)}Z`, fill: line.colour, opacity: 0.18 }, root);
  }
  const pale = line.look === "pale";
  if (!dots) {
    svg("path", {
      d: `M${path(points)}`, fill: "none", stroke: line.colour, "stroke-linejoin": "round",
      "stroke-width": pale ? 1.2 : 2, opacity: pale ? 0.4 : 1,
      "stroke-dasharray": DASHES[line.look] ?? "none",
    }, root);
  }
  const marked = few || (points.length <= MARKED && !chart.small);
  if (!marked || pale || line.look === "dashed") return;
  const radius = line.look === "dots" || !few ? 2.6 : 4;
  for (const [x, y, i] of points) {
    if (line.low && few) {
      const [low, high] = [at.y(line.low[i]), at.y(line.high[i])];
      svg("path", { d: `M${at.x(x)},${low}V${high}m-4,0h8m-8,${low - high}h8`, stroke: line.colour, "stroke-width": 1.4 }, root);
    }
    svg("circle", { cx: at.x(x), cy: at.y(y), r: radius, fill: line.colour, stroke: "var(--card)", "stroke-width": few ? 1.5 : 0 }, root);
  }
}

function labelBeside(root, labels, at) {
  const ordered = [...labels].sort((a, b) => b.y - a.y);
  const heights = spread(ordered.map((label) => at.y(label.y)), 16);
  const over = Math.max(0, heights[heights.length - 1] - at.bottom);
  ordered.forEach((label, i) => {
    const place = { x: at.right + 9, y: heights[i] - over + 4 };
    const text = svg("text", place, root, label.text);
    text.style.fill = `color-mix(in srgb, ${label.colour} 72%, var(--ink))`;
  });
}

function swatches(labels) {
  const list = element("ul", { class: "swatches" });
  for (const label of labels) {
    const item = list.appendChild(element("li"));
    const sign = svg("svg", { viewBox: "0 0 20 12" }, item);
    svg("path", {
      d: "M1,6H19", stroke: label.colour, "stroke-width": 2.4, "stroke-dasharray": DASHES[label.look] ?? "none",
    }, sign);
    item.append(label.text);
  }
  return list;
}

// The values under the pointer.
function addTip(holder, root, chart, at, width) {
  const guide = svg("line", { y1: at.top, y2: at.bottom, stroke: "var(--muted)", opacity: 0 }, root);
  const tip = element("div", { class: "tip", hidden: "" });
  holder.append(tip);
  const longest = chart.lines.reduce((a, b) => (a.xs.length >= b.xs.length ? a : b));
  root.addEventListener("pointermove", (event) => {
    const x = event.clientX - root.getBoundingClientRect().left;
    const nearest = longest.xs.reduce((a, b) => (
      Math.abs(at.x(b) - x) < Math.abs(at.x(a) - x) ? b : a));
    guide.setAttribute("x1", at.x(nearest));
    guide.setAttribute("x2", at.x(nearest));
    guide.setAttribute("opacity", 0.5);
    const name = { episodes: `episode ${nearest}`, steps: `${roundCount(nearest)} steps` };
    tip.replaceChildren(element("div", {}, name[chart.x.kind] ?? `${chart.x.label} ${roundCount(nearest)}`));
    for (const line of chart.lines) {
      const i = line.xs.indexOf(nearest);
      if (i >= 0) {
        const half = line.low ? ` ± ${quantity((line.high[i] - line.low[i]) / 2)}` : "";
        tip.append(element("div", {}, `${line.name}: ${quantity(line.ys[i])}${half}`));
      }
    }
    tip.hidden = false;
    const beyond = at.x(nearest) + tip.offsetWidth + 12 > width;
    tip.style.left = `${at.x(nearest) + (beyond ? -tip.offsetWidth - 10 : 10)}px`;
  });
  root.addEventListener("pointerleave", () => {
    guide.setAttribute("opacity", 0);
    tip.hidden = true;
  });
}
