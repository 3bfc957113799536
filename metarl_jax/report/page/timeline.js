// The whole meta-episode at a glance, over the slider: series, choices, or the return so far.

const INSET = 8; // half a slider's thumb, so that the playhead stands above it
const GUTTER = 46; // for the scale, left of timeline and slider
const SERIES_COLOURS = ["accent", "vermilion", "green", "purple", "sky"];

function timelineKind(task) {
  if (task.stages[0].choices) return "choices";
  return task.episodes[0].series ? "series" : "return";
}

function gutterOf(task) {
  return timelineKind(task) === "choices" ? 0 : GUTTER;
}

function drawTimeline(canvas, task, moment, colours) {
  const width = canvas.parentElement.clientWidth - paddingOf(canvas.parentElement);
  const height = Math.max(120, Math.min(220, 8 + 4 * (task.stages[0].choices ?? []).length));
  const context = clearCanvas(canvas, width, height);
  context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const last = task.frames.length - 1;
  const x = (frame) => lerp(gutterOf(task) + INSET, width - INSET, last ? frame / last : 0);
  drawBoundaries(context, task, x, height, colours);
  const draw = { choices: drawRaster, series: drawSeries, return: drawReturn }[timelineKind(task)];
  draw(context, task, moment, x, height, colours);
  context.strokeStyle = colours.ink;
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(x(moment.frame + moment.part), 0);
  context.lineTo(x(moment.frame + moment.part), height);
  context.stroke();
}

function paddingOf(holder) {
  const style = getComputedStyle(holder);
  return parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
}

function drawBoundaries(context, task, x, height, colours) {
  if (task.first.length > 60) return;
  context.strokeStyle = colours.faint;
  context.lineWidth = 1;
  for (const frame of task.first.slice(1)) {
    context.beginPath();
    context.moveTo(x(frame - 0.5), 0);
    context.lineTo(x(frame - 0.5), height);
    context.stroke();
  }
}

// The scale of some values: draws its ticks and returns the height of a value.
function drawScale(context, values, height, colours) {
  const known = values.filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const room = (high - low || 1) * 0.1;
  const y = (value) => lerp(height - 4, 6, (value - low + room) / (high - low + 2 * room));
  context.strokeStyle = colours.faint;
  context.fillStyle = colours.muted;
  context.lineWidth = 1;
  context.textAlign = "right";
  for (const tick of evenTicks(low, high, 3)) {
    context.beginPath();
    context.moveTo(GUTTER + INSET, y(tick));
    context.lineTo(context.canvas.clientWidth - INSET, y(tick));
    context.stroke();
    context.fillText(roundCount(tick), GUTTER, y(tick) + 4);
  }
  return y;
}

function strokeValues(context, points, until, colour, dash = []) {
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.setLineDash(dash);
  for (const [some, opacity] of [[points, 0.25], [points.filter((p) => p.frame <= until), 1]]) {
    context.globalAlpha = opacity;
    context.beginPath();
    some.forEach((p, i) => (i && some[i - 1].episode === p.episode ? context.lineTo(p.x, p.y) : context.moveTo(p.x, p.y)));
    context.stroke();
  }
  context.globalAlpha = 1;
  context.setLineDash([]);
}

function drawSeries(context, task, moment, x, height, colours) {
  const names = Object.keys(task.episodes[0].series);
  const all = task.episodes.flatMap((e) => Object.values(e.series).flat());
  const y = drawScale(context, all, height, colours);
  names.forEach((name) => {
    const points = task.frames.flatMap(({ episode, step }, frame) => {
      const value = task.episodes[episode].series[name]?.[step - 1];
      return step && value !== null ? [{ frame, episode, x: x(frame), y: y(value) }] : [];
    });
    const dash = name === "target" ? [6, 4] : [];
    strokeValues(context, points, moment.frame, colours[seriesColour(names, name)], dash);
  });
}

function seriesColour(names, name) {
  if (name === "target") return "ink";
  const others = names.filter((other) => other !== "target");
  return SERIES_COLOURS[others.indexOf(name) % SERIES_COLOURS.length];
}

function drawReturn(context, task, moment, x, height, colours) {
  const values = task.frames.map((frame) => task.before[frame.episode] + task.sums[frame.episode][frame.step]);
  const y = drawScale(context, values, height, colours);
  const points = values.map((value, frame) => ({ frame, episode: 0, x: x(frame), y: y(value) }));
  strokeValues(context, points, moment.frame, colours.accent);
}

// A row a choice, a mark a step: filled where it paid.
function drawRaster(context, task, moment, x, height, colours) {
  const number = task.stages[0].choices.length;
  const row = (height - 8) / number;
  const radius = Math.max(1.8, Math.min(4.5, Math.max(2.6, row * 0.42), (x(1) - x(0)) * 0.42));
  const best = task.stages[0].choices.reduce((a, c, i, all) => (c.worth > all[a].worth ? i : a), 0);
  context.fillStyle = colours.unseen;
  context.fillRect(INSET, 4 + row * best, x(task.frames.length - 1) - INSET, row);
  task.frames.forEach(({ episode, step }, frame) => {
    if (!step) return;
    const { actions, rewards } = task.episodes[episode];
    context.globalAlpha = frame <= moment.frame ? 1 : 0.16;
    context.fillStyle = rewards[step - 1] > 0 ? colours.accent : colours.hollow;
    context.beginPath();
    context.arc(x(frame), 4 + row * (actions[step - 1] + 0.5), radius, 0, 2 * Math.PI);
    context.fill();
  });
  context.globalAlpha = 1;
}

function timelineWords(task) {
  const kind = timelineKind(task);
  const { unit } = task.stages[0];
  if (kind === "series") {
    const names = Object.keys(task.episodes[0].series).map((name) => (name === "target" ? "target (dashed)" : name));
    return `${names.join(" and ")}${unit ? `, ${unit}` : ""}, over the whole meta-episode`;
  }
  if (kind === "choices") return "Every choice in turn, a row each: bright where it paid; the shaded row is the best one.";
  return "Return so far, over the whole meta-episode";
}
