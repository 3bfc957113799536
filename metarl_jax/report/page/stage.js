// What a meta-episode looks like at one moment: a plane, a body that runs, or things to choose.

const ARROWS = [["↑", 0, 1], ["→", 1, 0], ["↓", 0, -1], ["←", -1, 0]];

function clearCanvas(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.lineCap = "round";
  context.lineJoin = "round";
  return context;
}

function drawStage(canvas, room, task, moment, colours) {
  const { episode } = task.frames[moment.frame];
  const stage = task.stages[task.episodes[episode].stage];
  if (stage.choices) drawChoices(canvas, room, task, moment, colours, stage);
  else if (stage.widths) drawBody(canvas, room, task, moment, colours, stage);
  else if (stage.bounds) drawPlane(canvas, room, task, moment, colours, stage);
  else clearCanvas(canvas, room, 0);
}

// A plane with its shapes, the ways of earlier episodes and the agent on its present one.

function drawPlane(canvas, room, task, moment, colours, stage) {
  const [x0, y0, x1, y1] = stage.bounds;
  const scale = Math.min(Math.max(0, room - 2) / (x1 - x0), 460 / (y1 - y0));
  const height = (y1 - y0) * scale;
  const context = clearCanvas(canvas, Math.round((x1 - x0) * scale), Math.round(height));
  const at = ([x, y]) => [(x - x0) * scale, height - (y - y0) * scale];
  const { episode, step } = task.frames[moment.frame];
  if (stage.sight) drawSight(context, task, stage.sight, episode, step, at, scale, colours);
  for (const shape of stage.shapes ?? []) {
    drawShape(context, shape, at, scale, colours, isSeen(task, shape, stage.sight, episode, step));
  }
  if (stage.scale) drawScaleBar(context, stage.scale, scale, (x1 - x0) * scale, height, colours);
  if (!task.episodes[episode].path) return;
  const steps = task.episodes.slice(0, episode + 1).map((e, i) => (i < episode ? e.path.length - 1 : step));
  const drawn = Math.max(0, episode - 5);
  for (let i = drawn; i < episode; i += 1) {
    const shift = (i - drawn - 2) * 2.2;
    drawWay(context, task.episodes[i].path.map(at), shift, colours.muted, 0.12 + (0.28 * (i - drawn + 1)) / (episode - drawn));
  }
  steps.forEach((until, i) => drawBumps(context, task, stage, i, until, at, scale, colours, i === episode));
  const path = task.episodes[episode].path;
  const here = path.slice(0, step + 1).map(at);
  const next = path[Math.min(step + 1, path.length - 1)];
  const place = at([lerp(path[step][0], next[0], moment.part), lerp(path[step][1], next[1], moment.part)]);
  drawWay(context, [...here, place], 0, colours.accent, 0.9);
  drawAgent(context, place, Math.max(6, Math.min(0.26 * scale, 14)), colours);
}

// A shape is its kind, its role, its place, and its size.
function isSeen(task, shape, sight, episode, step) {
  const [, role, x, y] = shape;
  if (role !== "floor" && role !== "goal") return true;
  const near = reach(shape, sight);
  const known = task.episodes.slice(0, episode).some((e) => e.path?.some((place) => near(place, x, y)));
  return known || Boolean(task.episodes[episode].path?.slice(0, step + 1).some((place) => near(place, x, y)));
}

// Whether a place of the path is within a shape, or so near that the agent sees it.
function reach([kind, , , , width, height], sight = 0) {
  if (kind === "circle") return ([px, py], x, y) => Math.hypot(px - x, py - y) <= width + sight + 1e-6;
  const room = sight + 1e-6 + 0.04 * Math.min(width, height);
  return ([px, py], x, y) => px >= x - room && px <= x + width + room && py >= y - room && py <= y + height + room;
}

function outline(context, [kind, , x, y, width, height], at, scale, inset = 0) {
  context.beginPath();
  if (kind === "circle") {
    context.arc(...at([x, y]), Math.max(1, width * scale - inset), 0, 2 * Math.PI);
  } else {
    const [left, top] = at([x, y + height]);
    context.rect(left + inset, top + inset, width * scale - 2 * inset, height * scale - 2 * inset);
  }
}

function drawShape(context, shape, at, scale, colours, seen) {
  const [kind, role] = shape;
  if (kind === "arrow") {
    drawArrow(context, shape, at, colours.vermilion);
    return;
  }
  const hidden = role === "goal" && !seen;
  const own = { goal: colours.goal, wall: colours.wall, start: colours.start, force: colours.vermilion };
  const fill = role === "floor" && seen ? colours.seen : own[role] ?? colours.muted;
  context.fillStyle = hidden || (role === "floor" && !seen) ? colours.unseen : fill;
  outline(context, shape, at, scale);
  context.fill();
  if (!hidden) return;
  context.strokeStyle = colours.goal;
  context.lineWidth = 2;
  context.setLineDash([5, 4]);
  outline(context, shape, at, scale, kind === "circle" ? 1 : 4);
  context.stroke();
  context.setLineDash([]);
}

function drawArrow(context, [, , x, y, dx, dy], at, colour) {
  const [[fromX, fromY], [toX, toY]] = [at([x, y]), at([x + dx, y + dy])];
  const angle = Math.atan2(toY - fromY, toX - fromX);
  context.strokeStyle = colour;
  context.fillStyle = colour;
  context.lineWidth = 2.5;
  context.beginPath();
  context.moveTo(fromX, fromY);
  context.lineTo(toX - 6 * Math.cos(angle), toY - 6 * Math.sin(angle));
  context.stroke();
  context.beginPath();
  context.moveTo(toX, toY);
  for (const turn of [-0.45, 0.45]) {
    context.lineTo(toX - 12 * Math.cos(angle + turn), toY - 12 * Math.sin(angle + turn));
  }
  context.fill();
}

// All that lies within sight of the way that the agent has come.
function drawSight(context, task, sight, episode, step, at, scale, colours) {
  const { width, height } = context.canvas;
  context.fillStyle = colours.unseen;
  context.fillRect(0, 0, width, height);
  context.strokeStyle = colours.seen;
  context.lineWidth = 2 * sight * scale;
  task.episodes.slice(0, episode + 1).forEach(({ path }, i) => {
    const known = path.slice(0, i < episode ? path.length : step + 1).map(at);
    context.beginPath();
    context.moveTo(known[0][0] + 0.01, known[0][1]); // a place alone is a stroke too
    known.forEach((place) => context.lineTo(...place));
    context.stroke();
  });
}

function drawScaleBar(context, { length, name }, scale, width, height, colours) {
  const [right, low] = [width - 14, height - 14];
  context.strokeStyle = colours.ink;
  context.fillStyle = colours.ink;
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(right - length * scale, low);
  context.lineTo(right, low);
  context.stroke();
  context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  context.textAlign = "right";
  context.fillText(name, right, low - 6);
}

function drawWay(context, points, shift, colour, opacity) {
  context.globalAlpha = opacity;
  context.strokeStyle = colour;
  context.lineWidth = 3;
  context.beginPath();
  points.forEach(([x, y]) => context.lineTo(x + shift, y + shift));
  context.stroke();
  context.globalAlpha = 1;
}

// Where a move led nowhere something stood in the way: a mark that stays for the episodes after.
function drawBumps(context, task, stage, episode, until, at, scale, colours, now) {
  const { path, actions } = task.episodes[episode];
  if (!stage.moves || !actions) return;
  context.strokeStyle = colours.vermilion;
  context.lineWidth = 4;
  context.globalAlpha = now ? 1 : 0.45;
  for (let i = 0; i < until; i += 1) {
    const [dx, dy] = stage.moves[actions[i]];
    const moved = path[i][0] !== path[i + 1][0] || path[i][1] !== path[i + 1][1];
    if ((dx || dy) && !moved) {
      const [x, y] = at([path[i][0] + dx * 0.46, path[i][1] + dy * 0.46]);
      const [across, up] = [0.2 * scale * dy, 0.2 * scale * dx];
      context.beginPath();
      context.moveTo(x - across, y - up);
      context.lineTo(x + across, y + up);
      context.stroke();
    }
  }
  context.globalAlpha = 1;
}

function drawAgent(context, [x, y], radius, colours) {
  context.fillStyle = colours.accent;
  context.strokeStyle = colours.card;
  context.lineWidth = 2.5;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
  context.stroke();
}

// A body of rods on the ground, the view running along; markers stand beside it.

function bodyView(task) {
  const all = task.episodes.flatMap((e) => e.limbs);
  const ys = all.flatMap((rods) => rods.filter((_, i) => i % 2));
  const spans = all.map((rods) => {
    const xs = rods.filter((_, i) => i % 2 === 0);
    return Math.max(...xs) - Math.min(...xs);
  });
  const [low, high] = ys.reduce(([a, b], y) => [Math.min(a, y), Math.max(b, y)], [0, 0]);
  return { low, high, span: Math.max(...spans) };
}

function bodyCentre(rods) {
  const xs = rods.filter((_, i) => i % 2 === 0);
  return xs.reduce((a, b) => a + b, 0) / xs.length;
}

function drawBody(canvas, room, task, moment, colours, stage) {
  task.view ??= bodyView(task);
  const { low, high, span } = task.view;
  const scale = Math.min(room / ((room < 500 ? 2.2 : 3.2) * span), 240 / (high - low));
  const height = Math.round((high - low) * scale + 64);
  const context = clearCanvas(canvas, room, height);
  const { episode, step } = task.frames[moment.frame];
  const { limbs, markers = {} } = task.episodes[episode];
  const next = Math.min(step + 1, limbs.length - 1);
  const rods = limbs[step].map((value, i) => lerp(value, limbs[next][i], moment.part));
  const around = limbs.slice(Math.max(0, step - 6), step + 7);
  const after = limbs.slice(Math.max(0, next - 6), next + 7);
  const mean = (some) => some.reduce((sum, r) => sum + bodyCentre(r), 0) / some.length;
  const centre = lerp(mean(around), mean(after), moment.part);
  const at = ([x, y]) => [room / 2 + (x - centre) * scale, height - 34 - (y - low) * scale];
  drawGround(context, at, centre, room / scale, stage, colours, [room, height]);
  for (const [name, points] of Object.entries(markers)) {
    const x = lerp(points[step][0], points[next][0], moment.part);
    drawMarker(context, name, x, centre, at, room, height, colours);
  }
  drawRods(context, rods, stage.widths, at, scale, colours);
}

function drawGround(context, at, centre, width, stage, colours, [room, height]) {
  const ground = at([0, 0])[1];
  context.fillStyle = colours.unseen;
  context.fillRect(0, ground, room, height - ground);
  context.fillStyle = colours.muted;
  context.strokeStyle = colours.muted;
  context.lineWidth = 1;
  context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  context.textAlign = "center";
  for (let x = Math.floor(centre - width / 2); x <= centre + width / 2; x += 1) {
    const [left] = at([x, 0]);
    if (left < 12 || left > room - 12) continue; // half a number at the edge
    context.beginPath();
    context.moveTo(left, ground);
    context.lineTo(left, ground + 6);
    context.stroke();
    context.fillText(`${x}`.replace("-", "−"), left, ground + 21);
  }
}

function drawMarker(context, name, x, centre, at, room, height, colours) {
  const [left, ground] = at([x, 0]);
  const inside = Math.max(14, Math.min(room - 14, left));
  context.strokeStyle = colours.goal;
  context.fillStyle = colours.goal;
  context.lineWidth = 3;
  context.beginPath();
  if (inside === left) {
    context.moveTo(left, ground);
    context.lineTo(left, 24);
    context.stroke();
    context.beginPath();
    context.moveTo(left, 24);
    context.lineTo(left + 20, 31);
    context.lineTo(left, 38);
  } else {
    const way = Math.sign(left - inside);
    context.moveTo(inside + 9 * way, 31);
    context.lineTo(inside - 6 * way, 23);
    context.lineTo(inside - 6 * way, 39);
  }
  context.fill();
  context.fillStyle = colours.ink;
  context.textAlign = left < 60 ? "left" : left > room - 60 ? "right" : "center";
  const off = x - centre;
  const words = inside === left ? name : `${name} ${Math.abs(off).toFixed(1)} ${off > 0 ? "ahead" : "behind"}`;
  context.fillText(words, inside, 15);
}

function drawRods(context, rods, widths, at, scale, colours) {
  const ends = widths.map((_, k) => [at(rods.slice(4 * k, 4 * k + 2)), at(rods.slice(4 * k + 2, 4 * k + 4))]);
  ends.forEach(([[ax, ay], [bx, by]], k) => {
    for (const [colour, more] of [[colours.card, 4], [colours.accent, 0]]) {
      context.strokeStyle = colour;
      context.lineWidth = Math.max(3, widths[k] * scale) + more;
      context.beginPath();
      context.moveTo(ax, ay);
      context.lineTo(bx, by);
      context.stroke();
    }
  });
}

// Things to choose: what each has paid so far beside what it is worth, and how often it was chosen.

function countChoices(task, frame, number) {
  const counts = Array(number).fill(0);
  const paid = Array(number).fill(0);
  const { episode, step } = task.frames[frame];
  let newest = null;
  task.episodes.slice(0, episode + 1).forEach(({ actions, rewards }, e) => {
    const until = e < episode ? actions.length : step;
    for (let i = 0; i < until; i += 1) {
      counts[actions[i]] += 1;
      paid[actions[i]] += rewards[i];
      newest = { choice: actions[i], reward: rewards[i] };
    }
  });
  return { counts, paid, newest };
}

function drawChoices(canvas, room, task, moment, colours, { choices }) {
  const height = 300;
  const [top, middle, bottom] = [26, 178, height - 26];
  const context = clearCanvas(canvas, room, height);
  const { counts, paid, newest } = countChoices(task, moment.frame, choices.length);
  const most = Math.max(1, ...counts);
  const high = Math.max(...choices.map((c) => c.worth), ...counts.map((n, i) => (n ? paid[i] / n : 0)));
  const low = Math.min(0, ...choices.map((c) => c.worth));
  const column = (room - 4) / choices.length;
  const bar = Math.max(1.5, Math.min(46, column * 0.62));
  const y = (value) => lerp(middle, top, (value - low) / (Math.max(1, high) - low));
  context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  context.textAlign = "left";
  context.fillStyle = colours.muted;
  context.fillText("paid on average; line: its hidden worth", 2, 13);
  context.fillText("times chosen", 2, middle + 26);
  context.textAlign = "center";
  choices.forEach((choice, i) => {
    const x = 2 + column * (i + 0.5);
    const chosen = newest?.choice === i;
    context.fillStyle = colours.unseen;
    context.fillRect(x - bar / 2, top, bar, middle - top);
    context.fillStyle = chosen ? colours.accent : colours.sky;
    if (counts[i]) context.fillRect(x - bar / 2, y(paid[i] / counts[i]), bar, y(0) - y(paid[i] / counts[i]));
    const tall = ((bottom - middle - 36) * counts[i]) / most;
    context.fillRect(x - bar / 2, bottom - tall, bar, tall);
    context.fillStyle = colours.ink;
    context.fillRect(x - bar / 2 - 2, y(choice.worth) - 1, bar + 4, 2);
    if (column < 22) return;
    context.fillStyle = chosen ? colours.ink : colours.muted;
    context.fillText(column < 52 ? `${i + 1}` : choice.name, x, height - 9);
    if (counts[i]) context.fillText(`${counts[i]}`, x, bottom - tall - 5);
  });
}
