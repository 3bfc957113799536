// What charts and replay share: numbers as people read them, even ticks, the page's colours.

const byId = (id) => document.getElementById(id);

function quantity(value) {
  if (value === null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const digits = size >= 20 ? 1 : size >= 0.9995 || size === 0 ? 2 : 3;
  const text = size >= 1000 ? Math.round(value).toLocaleString("en") : value.toFixed(digits);
  return text.replace("-", "−");
}

function roundCount(value) {
  for (const [size, unit] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) {
    if (Math.abs(value) >= size) return `${Number((value / size).toPrecision(3))}${unit}`;
  }
  return `${Number(value.toPrecision(6))}`.replace("-", "−");
}

function evenTicks(low, high, count, whole = false) {
  if (!Number.isFinite(low) || !Number.isFinite(high) || !(count > 0)) return [];
  const rough = (high - low) / Math.min(count, 50) || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const steps = [0.2, 0.5, 1, 2, 5, 10].map((m) => m * power);
  let step = steps.findIndex((s) => s >= rough);
  let ticks = [];
  for (; ticks.length < Math.min(3, count) && step >= 0; step -= 1) {
    const width = whole ? Math.max(1, Math.round(steps[step])) : steps[step];
    ticks = [];
    for (let i = Math.ceil(low / width - 1e-9); i * width <= high + 1e-9 * width; i += 1) {
      ticks.push(Number((i * width).toPrecision(12)));
    }
  }
  return ticks;
}

// Exponents of round numbers between 10^low and 10^high: the fewest of a decade that are three.
function logTicks(low, high) {
  for (const digits of [[1], [1, 3], [1, 2, 5]]) {
    const ticks = [];
    const every = Math.ceil((high - low) / 6);
    for (let decade = Math.floor(low); decade <= high; decade += every) {
      for (const digit of digits) ticks.push(decade + Math.log10(digit));
    }
    const inside = ticks.filter((tick) => tick >= low && tick <= high);
    if (inside.length >= 3) return inside;
  }
  return evenTicks(10 ** low, 10 ** high, 3).map(Math.log10);
}

// Moves ascending heights as little as needed to stand `gap` apart (least squares).
function spread(heights, gap) {
  const blocks = [];
  heights.forEach((height, rank) => {
    let [mean, members] = [height - rank * gap, 1];
    while (blocks.length && blocks[blocks.length - 1][0] > mean) {
      const [before, count] = blocks.pop();
      mean = (mean * members + before * count) / (members + count);
      members += count;
    }
    blocks.push([mean, members]);
  });
  const levels = blocks.flatMap(([mean, members]) => Array(members).fill(mean));
  return levels.map((level, rank) => level + rank * gap);
}

// A canvas cannot read the page's variables: an element that can is asked.
function readColours(names) {
  const probe = document.body.appendChild(document.createElement("span"));
  const colours = {};
  for (const name of names) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return colours;
}

function element(name, attributes = {}, text = "") {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

const lerp = (a, b, part) => a + (b - a) * part;
