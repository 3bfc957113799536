// Curves as SVG, drawn anew for every width: text keeps its size, on a phone as on a wall.

const FEW = 12; // points up to which each is shown, with its interval as a bar
const DASHES = { dashed: "6 4", dotted: "1.5 4" };

function svg(name, attributes, parent, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function domains(chart) {
  const xs = chart.lines.flatMap((line) => line.xs);
  const told = chart.lines.flatMap((line) => [line.ys, line.low ?? [], line.high ?? []].flat());
  const ys = [...told, ...chart.levels.map((level) => level.y)].filter((y) => y !== null);
  let [x0, x1] = [chart.zero ? 0 : Math.min(...xs), Math.max(...xs)];
  let [y0, y1] = [Math.min(...ys), Math.max(...ys)];
  if (chart.log) [y0, y1] = [Math.log10(y0) - 0.1, Math.log10(y1) + 0.1];
  const room = (y1 - y0 || Math.abs(y1) || 1) * 0.07;
  if (x0 === x1) [x0, x1] = [x0 - 0.5, x1 + 0.5];
  if (chart.whole && x1 - x0 < FEW) [x0, x1] = [x0 - 0.2, x1 + 0.2];
  return { x0, x1, y0: y0 - room, y1: y1 + room };
}

function endLabels(chart) {
  const named = chart.lines.filter((line) => !line.pale).map((line) => {
    const y = line.ys.findLast((value) => value !== null) ?? 0;
    return { y, text: `${line.name}: ${quantity(y)}`, colour: line.colour, dash: line.dash };
  });
  const levels = chart.levels.map((level) => (
    { ...level, text: `${level.name}: ${quantity(level.y)}` }));
  return [...named, ...levels];
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
  const beside = !chart.plain && width - widest > 300;
  const height = Math.round(Math.min(chart.plain ? 180 : 320, Math.max(170, width * 0.62)));
  const domain = domains(chart);
  const yTicks = chart.log
    ? logTicks(domain.y0, domain.y1)
    : evenTicks(domain.y0, domain.y1, height / 55);
  const yText = (tick) => (chart.log ? roundCount(10 ** tick) : roundCount(tick));
  const left = 12 + Math.max(0, ...yTicks.map((tick) => textWidth(yText(tick))));
  const right = beside ? widest + 16 : 20;
  const [top, bottom] = [chart.y ? 22 : 8, height - 40];
  const at = {
    x: (x) => lerp(left, width - right, (x - domain.x0) / (domain.x1 - domain.x0)),
    y: (y) => lerp(bottom, top, ((chart.log ? Math.log10(y) : y) - domain.y0)
      / (domain.y1 - domain.y0)),
    bottom, top, left, right: width - right,
  };
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" }, holder);
  for (const tick of yTicks) {
    const y = lerp(bottom, top, (tick - domain.y0) / (domain.y1 - domain.y0));
    svg("line", { x1: left, x2: at.right, y1: y, y2: y, stroke: "var(--faint)" }, root);
    svg("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, root, yText(tick));
  }
  const xTicks = evenTicks(domain.x0, domain.x1, Math.max(2, (at.right - left) / 80), chart.whole);
  for (const tick of xTicks) {
    svg("text", { x: at.x(tick), y: bottom + 18, "text-anchor": "middle" }, root, roundCount(tick));
  }
  svg("text", { x: at.right, y: height - 4, "text-anchor": "end" }, root, chart.x);
  if (chart.y) svg("text", { x: 0, y: 11 }, root, chart.y);
  chart.levels.forEach((level) => drawLevel(root, level, at));
  chart.lines.forEach((line) => drawLine(root, line, at, chart));
  if (beside) labelBeside(root, labels, at);
  else if (!chart.plain) holder.append(swatches(labels));
  addTip(holder, root, chart, at, width);
}

function drawLevel(root, level, at) {
  svg("line", {
    x1: at.left, x2: at.right, y1: at.y(level.y), y2: at.y(level.y), "stroke-width": 1.4,
    stroke: `var(--${level.colour})`, "stroke-dasharray": DASHES[level.dash],
  }, root);
}

function drawLine(root, line, at, chart) {
  const points = line.xs.map((x, i) => [x, line.ys[i], i]).filter((p) => p[1] !== null);
  const colour = `var(--${line.colour})`;
  const few = chart.whole && points.length <= FEW;
  const path = (pairs) => pairs.map(([x, y]) => `${at.x(x).toFixed(1)},${at.y(y).toFixed(1)}`).join("L");
  if (line.low && !few) {
    const edge = [...points.map(([x, , i]) => [x, line.high[i]]),
      ...points.map(([x, , i]) => [x, line.low[i]]).reverse()];
    svg("path", { d: `M${path(edge)}Z`, fill: colour, opacity: 0.18 }, root);
  }
  svg("path", {
    d: `M${path(points)}`, fill: "none", stroke: colour, "stroke-linejoin": "round",
    "stroke-width": line.pale ? 1.2 : 2, opacity: line.pale ? 0.4 : 1,
    "stroke-dasharray": DASHES[line.dash] ?? "none",
  }, root);
  if (!few || line.dash) return;
  for (const [x, y, i] of points) {
    if (line.low) {
      const [low, high] = [at.y(line.low[i]), at.y(line.high[i])];
      svg("path", { d: `M${at.x(x)},${low}V${high}m-4,0h8m-8,${low - high}h8`, stroke: colour, "stroke-width": 1.4 }, root);
    }
    svg("circle", { cx: at.x(x), cy: at.y(y), r: 4, fill: colour, stroke: "var(--card)", "stroke-width": 1.5 }, root);
  }
}

function labelBeside(root, labels, at) {
  const ordered = [...labels].sort((a, b) => b.y - a.y);
  const heights = spread(ordered.map((label) => at.y(label.y)), 16);
  const over = Math.max(0, heights[heights.length - 1] - at.bottom);
  ordered.forEach((label, i) => {
    const place = { x: at.right + 9, y: heights[i] - over + 4 };
    const text = svg("text", place, root, label.text);
    text.style.fill = `color-mix(in srgb, var(--${label.colour}) 72%, var(--ink))`;
  });
}

function swatches(labels) {
  const list = element("ul", { class: "swatches" });
  for (const label of labels) {
    const item = list.appendChild(element("li"));
    const sign = svg("svg", { viewBox: "0 0 20 12" }, item);
    svg("path", {
      d: "M1,6H19", stroke: `var(--${label.colour})`, "stroke-width": 2.4,
      "stroke-dasharray": DASHES[label.dash] ?? "none",
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
    const name = chart.whole ? `episode ${nearest}` : `${roundCount(nearest)} steps`;
    tip.replaceChildren(element("div", {}, name));
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
