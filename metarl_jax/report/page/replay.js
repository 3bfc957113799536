// The player: which task, which moment of its meta-episode, and what is told of it.

const COLOURS = ["ink", "muted", "faint", "accent", "sky", "green", "vermilion", "purple", "goal",
  "wall", "start", "seen", "unseen", "hollow", "card"];
const WHOLE_SECONDS = 20; // that a meta-episode takes at speed 1, where that is neither slow nor fast
const [SLOWEST, FASTEST] = [2.5, 30]; // steps a second
const REST_SECONDS = 0.45; // at an episode's end, where the next one begins elsewhere

function prepareTask(task) {
  const moves = Boolean(task.episodes[0].path || task.episodes[0].limbs);
  const prepared = { ...task, moves, frames: [], first: [], last: [], before: [], sums: [] };
  let total = 0;
  task.episodes.forEach(({ rewards }, episode) => {
    prepared.first.push(prepared.frames.length);
    for (let step = moves || episode === 0 ? 0 : 1; step <= rewards.length; step += 1) {
      prepared.frames.push({ episode, step });
    }
    prepared.last.push(prepared.frames.length - 1);
    const sums = [0];
    rewards.forEach((reward) => sums.push(sums[sums.length - 1] + (reward ?? 0)));
    prepared.sums.push(sums);
    prepared.before.push(total);
    total += sums[sums.length - 1];
  });
  return prepared;
}

function startReplay(data) {
  const section = byId("replay");
  const slider = byId("position");
  const player = { tasks: data.tasks.map(prepareTask), task: null, position: 0, playing: false, rest: 0, colours: {} };
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  function draw() {
    const frame = Math.floor(player.position + 1e-9);
    const following = player.task.frames[frame + 1];
    const sameEpisode = following?.episode === player.task.frames[frame].episode;
    const part = still.matches || !sameEpisode ? 0 : player.position - frame;
    const moment = { frame, part: Math.max(0, part) };
    const figure = byId("stage").parentElement;
    drawStage(byId("stage"), figure.clientWidth, player.task, moment, player.colours);
    drawTimeline(byId("timeline"), player.task, moment, player.colours);
    slider.value = frame;
    tellMoment(player.task, frame);
  }

  function seek(position) {
    player.position = Math.max(0, Math.min(player.task.frames.length - 1, position));
    player.rest = 0;
    draw();
  }

  function setPlaying(playing) {
    const last = player.task.frames.length - 1;
    if (playing && player.position >= last) player.position = 0;
    player.playing = playing;
    player.then = performance.now();
    byId("play").classList.toggle("playing", playing);
    byId("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    if (playing) requestAnimationFrame(advance);
    else seek(Math.floor(player.position));
  }

  function advance(now) {
    if (!player.playing) return;
    const { frames, moves } = player.task;
    const rate = Math.max(SLOWEST, Math.min(FASTEST, frames.length / WHOLE_SECONDS));
    const seconds = (Math.min(now - player.then, 200) / 1000) * Number(byId("speed").value);
    player.then = now;
    player.rest -= seconds;
    if (player.rest <= 0) {
      const next = Math.floor(player.position) + 1;
      player.position = Math.min(player.position + seconds * rate, frames.length - 1);
      if (moves && player.position >= next && frames[next + 1]?.episode > frames[next]?.episode) {
        [player.position, player.rest] = [next, REST_SECONDS];
      }
    }
    draw();
    if (player.position >= frames.length - 1) setPlaying(false);
    else requestAnimationFrame(advance);
  }

  function step(by) {
    setPlaying(false);
    seek(Math.floor(player.position) + by);
  }

  function toEpisode(by) {
    setPlaying(false);
    const { episode, step: at } = player.task.frames[Math.floor(player.position)];
    const begun = by < 0 && at > 1 ? episode : episode + by;
    seek(player.task.first[Math.max(0, Math.min(player.task.first.length - 1, begun))]);
  }

  function choose(index) {
    player.task = player.tasks[index];
    slider.max = player.task.frames.length - 1;
    byId("task-words").textContent = player.task.task;
    const [wide] = player.task.stages.map((stage) => stage.widths || stage.choices);
    section.querySelector(".scene").classList.toggle("wide", Boolean(wide));
    byId("stage").parentElement.hidden = !wide && !player.task.stages[0].bounds;
    section.style.setProperty("--gutter", `${gutterOf(player.task)}px`);
    byId("timeline-words").textContent = timelineWords(player.task);
    byId("timeline").setAttribute("aria-label", timelineWords(player.task));
    tellLegend(player.task);
    drawTicks(player.task);
    setPlaying(false);
    seek(0);
  }

  function redraw() {
    player.colours = readColours(COLOURS);
    draw();
  }

  fillTasks(player.tasks);
  byId("task").addEventListener("change", (event) => choose(Number(event.target.value)));
  byId("play").addEventListener("click", () => setPlaying(!player.playing));
  byId("step").addEventListener("click", () => step(1));
  byId("step-back").addEventListener("click", () => step(-1));
  byId("previous-episode").addEventListener("click", () => toEpisode(-1));
  byId("next-episode").addEventListener("click", () => toEpisode(1));
  slider.addEventListener("input", () => {
    const wanted = Number(slider.value);
    setPlaying(false);
    seek(wanted);
  });
  byId("timeline").addEventListener("pointerdown", (event) => {
    const left = gutterOf(player.task) + INSET;
    const part = (event.offsetX - left) / (event.target.clientWidth - left - INSET);
    setPlaying(false);
    seek(Math.round(part * (player.task.frames.length - 1)));
  });
  listenToKeys(section, {
    " ": () => setPlaying(!player.playing),
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    Home: () => step(-player.task.frames.length),
    End: () => step(player.task.frames.length),
    "[": () => toEpisode(-1),
    "]": () => toEpisode(1),
  });
  player.colours = readColours(COLOURS);
  const shown = player.tasks.findIndex((task) => task.rank === "median");
  byId("task").value = Math.max(0, shown);
  choose(Math.max(0, shown));
  new ResizeObserver(draw).observe(section);
  return redraw;
}

// Keys work where nothing else needs them: not in a choice, nor the space on another button.
function listenToKeys(section, actions) {
  document.addEventListener("keydown", (event) => {
    const { target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || !actions[event.key]) return;
    if (target !== document.body && !section.contains(target)) return;
    if (target.tagName === "SELECT") return;
    if (target.tagName === "BUTTON" && event.key === " ") return;
    event.preventDefault();
    actions[event.key]();
  });
}

function fillTasks(tasks) {
  tasks.forEach((task, i) => {
    const rank = task.rank[0].toUpperCase() + task.rank.slice(1);
    byId("task").append(element("option", { value: i }, `${rank}: return ${quantity(task.total)}`));
  });
}

function drawTicks(task) {
  const ticks = byId("ticks");
  const last = task.frames.length - 1 || 1;
  const place = (made, frame) => {
    const part = frame / last;
    made.style.left = `calc(${INSET}px + (100% - ${2 * INSET}px) * ${part})`;
    return made;
  };
  ticks.replaceChildren();
  const many = task.first.length;
  const every = evenTicks(0, many, 8, true)[1] || 1;
  task.first.forEach((first, episode) => {
    const named = many <= 8 || (episode + 1) % every === 0 || episode === 0;
    if (episode && (many <= 60 || named)) ticks.append(place(element("i"), first - 0.5));
    const text = many <= 4 ? `episode ${episode + 1}` : `${episode + 1}`;
    if (named) ticks.append(place(element("span", {}, text), (first + task.last[episode]) / 2));
  });
}

function tellMoment(task, frame) {
  const { episode, step } = task.frames[frame];
  const { rewards, actions } = task.episodes[episode];
  const stage = task.stages[task.episodes[episode].stage];
  const sum = task.sums[episode][step];
  const short = task.episodes.every((e) => e.rewards.length === 1); // a step is an episode
  const facts = [
    ["episode", `${episode + 1}`, `of ${task.episodes.length}`],
    !short && ["step", `${step}`, `of ${rewards.length}`],
    actions && ["action", step ? actionName(stage, actions[step - 1]) : "–"],
    ["reward", step ? quantity(rewards[step - 1]) : "–"],
    !short && ["this episode", quantity(sum)],
    ["return so far", quantity(task.before[episode] + sum)],
  ].filter(Boolean);
  byId("now").replaceChildren(...facts.map(([name, value, more]) => {
    const fact = element("div");
    const number = element("dd", {}, value);
    if (more) number.append(" ", element("small", {}, more));
    fact.append(element("dt", {}, name), number);
    return fact;
  }));
  const words = `episode ${episode + 1} of ${task.episodes.length}, step ${step} of ${rewards.length}`;
  byId("position").setAttribute("aria-valuetext", words);
  byId("stage").setAttribute("aria-label", `${task.task || "task"}: ${words}, return so far ${quantity(task.before[episode] + sum)}`);
}

function actionName(stage, action) {
  if (stage.choices) return stage.choices[action].name;
  const move = stage.moves?.[action];
  if (!move) return `${action}`;
  if (!move[0] && !move[1]) return "stay";
  const arrow = ARROWS.find(([, x, y]) => x === Math.sign(move[0]) && y === Math.sign(move[1]));
  return arrow ? arrow[0] : `${action}`;
}

function tellLegend(task) {
  const stage = task.stages[0];
  const roles = new Set((stage.shapes ?? []).map(([, role]) => role));
  const hides = roles.has("floor") || stage.sight;
  const entries = [
    hides && ["seen", "seen so far"],
    hides && ["unseen", "not seen yet"],
    roles.has("wall") && ["wall", "wall"],
    roles.has("start") && ["start", "start"],
    roles.has("force") && ["vermilion", "force"],
    roles.has("goal") && ["goal", "goal (dashed until found)"],
    stage.moves && ["vermilion", "ran into"],
  ].filter(Boolean);
  byId("legend").replaceChildren(...entries.map(([colour, text]) => {
    const entry = element("span");
    const sign = entry.appendChild(element("i"));
    sign.style.background = `var(--${colour})`;
    entry.append(text);
    return entry;
  }));
}
