// Reads the page's data and draws what it holds.

const data = JSON.parse(byId("data").textContent);

function drawCharts() {
  for (const holder of document.querySelectorAll("[data-chart]")) {
    drawChart(holder, data.charts[holder.dataset.chart]);
  }
}

drawCharts();
let redrawReplay = () => {};
if (data.replay) redrawReplay = startReplay(data.replay);

let width = document.body.clientWidth;
new ResizeObserver(() => {
  if (document.body.clientWidth !== width) drawCharts();
  width = document.body.clientWidth;
}).observe(document.body);

byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = getComputedStyle(root).colorScheme === "dark"
    || (root.dataset.theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  root.dataset.theme = dark ? "light" : "dark";
  redrawReplay();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redrawReplay());
