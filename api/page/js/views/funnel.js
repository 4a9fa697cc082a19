// How many VENs got how far in an event: bars that fill up, and beside them what went otherwise.

import { h, say } from "../dom.js";
import { number } from "../format.js";

const STEPS = [["targeted", "Take part"], ["logged", "In Kafka"], ["sent", "Sent"], ["acknowledged", "Accepted"], ["shedding", "Shedding"]];
const OUTCOMES = [["refused", "refused", "bad"], ["unanswered", "did not answer", "warn"], ["expired", "too late to be sent", "bad"], ["lost", "lost the event", "bad"], ["restored", "restored", "accent"]];

export class FunnelView {
  #bars = new Map();
  #outcomes = h("p", { class: "outcomes" });

  constructor() {
    const rows = STEPS.map(([name, label]) => {
      const fill = h("div", { class: "fill" });
      const count = h("span", { class: "count", "data-step": name }, "0");
      this.#bars.set(name, { fill, count });
      return h("li", {}, h("span", {}, label), h("div", { class: "track", "aria-hidden": "true" }, fill), count);
    });
    this.element = h("div", {}, h("ol", { class: "funnel", "aria-label": "How far the VENs got" }, rows), this.#outcomes);
  }

  show(funnel) {
    const most = Math.max(funnel.targeted, 1);
    for (const [name, { fill, count }] of this.#bars) {
      fill.style.width = `${Math.min(100, (100 * funnel[name]) / most)}%`;
      say(count, number(funnel[name]));
    }
    this.#outcomes.replaceChildren(
      ...OUTCOMES.filter(([name]) => funnel[name]).map(([name, words, look]) => h("span", { class: `badge ${look}` }, `${number(funnel[name])} ${words}`)),
    );
  }
}
