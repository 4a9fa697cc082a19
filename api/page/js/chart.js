// A chart of power over time: two lines, in the colours of the page, with the figures for screen readers beside it.

import uPlot from "../vendor/uPlot.esm.js";
import { h, say } from "./dom.js";
import { kw } from "./format.js";
import { onTheme } from "./theme.js";

// A chart that has just begun is not stretched over its few samples.
const LEAST_SECONDS = 300;

// data is [seconds[], used[], shed[]]; null is a gap.
export class PowerChart {
  #plot = null;
  #data = [[], [], []];
  #stops = [];

  constructor(label, names = ["Used", "Shed"]) {
    this.names = names;
    this.box = h("div", { class: "chart", role: "img", "aria-label": label });
    this.words = h("p", { class: "muted small" }, "No samples yet.");
    this.label = label;
    this.element = h(
      "div",
      { class: "stack" },
      h("p", { class: "legend" }, h("span", {}, h("span", { class: "key used" }), names[0]), h("span", {}, h("span", { class: "key shed" }), names[1])),
      this.box,
      this.words,
    );
    const watch = new ResizeObserver(() => this.#resize());
    watch.observe(this.box);
    this.#stops = [() => watch.disconnect(), onTheme(() => this.#draw())];
  }

  show(data) {
    this.#data = data;
    if (this.#plot && data[0].length) this.#plot.setData(data);
    else this.#draw();
    const used = data[1].filter((value) => value !== null && value !== undefined);
    const last = used.at(-1);
    if (last !== undefined) {
      const words = `${this.names[0]}: ${kw(last)} now, ${kw(Math.min(...used))} to ${kw(Math.max(...used))} in this time. ${this.names[1]}: ${kw(data[2].at(-1) ?? 0)} now.`;
      say(this.words, words);
      this.box.setAttribute("aria-label", `${this.label}. ${words}`);
    }
  }

  destroy() {
    for (const stop of this.#stops) stop();
    this.#plot?.destroy();
  }

  // To the last sample: uPlot itself would show the day that follows a single one.
  #span(first) {
    const last = this.#data[0].at(-1);
    return [Math.min(first, last - LEAST_SECONDS), last];
  }

  #height() {
    return Math.round(Math.max(200, Math.min(innerHeight * 0.34, 460)));
  }

  #resize() {
    if (!this.#plot) this.#draw();
    else if (this.box.clientWidth) this.#plot.setSize({ width: this.box.clientWidth, height: this.#height() });
  }

  #draw() {
    this.#plot?.destroy();
    this.#plot = null;
    if (!this.box.clientWidth || !this.#data[0].length) return;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const size = parseFloat(style.fontSize) * 0.8;
    const axis = {
      stroke: colour("--muted"),
      font: `${size}px ${style.getPropertyValue("--font")}`,
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
    };
    const line = (name, ground) => ({ stroke: colour(name), width: 2, points: { show: (plot) => plot.data[0].length < 3, size: 7 }, fill: ground, spanGaps: false });
    this.#plot = new uPlot(
      {
        width: this.box.clientWidth,
        height: this.#height(),
        legend: { show: false },
        cursor: { drag: { x: false, y: false } },
        scales: { x: { range: (_plot, low) => this.#span(low) }, y: { range: (_plot, low, high) => [Math.min(0, low ?? 0), Math.max(1, (high ?? 1) * 1.08)] } },
        axes: [
          { ...axis, space: size * 7, size: size * 2.4, values: (_plot, ticks) => ticks.map((tick) => new Date(tick * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })) },
          { ...axis, size: size * 4.6, values: (_plot, ticks) => ticks.map((tick) => `${tick} kW`) },
        ],
        series: [{}, line("--used", `color-mix(in srgb, ${colour("--used")} 12%, transparent)`), line("--shed")],
      },
      this.#data,
      this.box,
    );
  }
}
