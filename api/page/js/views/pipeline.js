// Whether everything between the VENs and this page goes on: only what somebody measures.

import { get } from "../api.js";
import { h } from "../dom.js";
import { number } from "../format.js";
import { since } from "./shared.js";

const EVERY_MS = 10_000;

export class PipelineView {
  #timer = setInterval(() => this.#look(), EVERY_MS);
  #health = null;
  #last = null;
  element = h("dl", { class: "facts" }, h("dt", {}, "Loading …"));

  constructor() {
    this.#look();
  }

  leave() {
    clearInterval(this.#timer);
  }

  async #look() {
    // Not ready is an answer, too.
    const ready = fetch("/health/ready").then((answer) => answer.json(), () => null);
    [this.#health, this.#last] = await Promise.all([ready, get("/api/stats/pipeline").catch(() => null)]);
    this.#draw();
  }

  #draw() {
    const checks = this.#health?.checks;
    const rows = [
      ["API", this.#health ? fine(true, "answers", "") : fine(false, "", "does not answer")],
      ["Database", checks ? fine(checks.database, "answers", "does not answer") : "–"],
      ["Live totals", checks ? fine(checks.totals, "are there", "were never read: is the stream role “live” running?") : "–"],
    ];
    const last = this.#last;
    if (last) {
      rows.push(
        ["Messages", last.messagesPerSecond === null ? "–" : `${number(last.messagesPerSecond, last.messagesPerSecond < 10 ? 1 : 0)} a second to Kafka`],
        ["Waiting", last.waiting.map((each) => `${each.role} ${number(each.records)}`).join(" · ")],
        ["Newest reading", since(last.newestReadingAt)],
        ["Dead letters", `${number(last.deadLettersLastHour)} in the last hour`],
      );
    }
    this.element.replaceChildren(...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  }
}

const fine = (good, yes, no) => h("span", { class: `badge ${good ? "good" : "bad"}` }, good ? yes : no);
