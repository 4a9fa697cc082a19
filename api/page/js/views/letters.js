// Dead letters: find them, and replay what was mended at its source.

import { get, send } from "../api.js";
import { badge } from "../badges.js";
import { confirmThat } from "../dialogs.js";
import { announce, field, h, say, table } from "../dom.js";
import { number, plural, time } from "../format.js";
import { attempt } from "./shared.js";

const COLUMNS = [{ name: "Reason" }, { name: "VEN", wide: true }, { name: "Topic", wide: true }, { name: "State" }, { name: "Received", num: true }];
const STATES = ["", "open", "requested", "sent", "stored", "already_stored", "rejected"];

export function lettersView(feed) {
  const problem = h("div");
  const text = () => h("input", { type: "search", autocomplete: "off", spellcheck: "false", maxlength: 1024 });
  const inputs = { reason: text(), venId: text(), topic: text(), state: h("select", {}, STATES.map((value) => h("option", { value }, value.replaceAll("_", " ") || "any"))) };
  const list = h("div", {}, h("p", { class: "empty" }, "Loading …"));
  const more = h("button", { type: "button", hidden: true, onclick: () => load(next) }, "Show earlier dead letters");
  const fresh = h("button", { type: "button", hidden: true, onclick: () => load() }, "");
  const bulk = h("button", { type: "button", "data-needs": "operator", onclick: askBulk }, "Replay what matches");
  const form = h("form", { class: "row", role: "search", "aria-label": "Dead letters" }, field("Reason", inputs.reason), field("VEN", inputs.venId), field("Topic", inputs.topic), field("State", inputs.state), h("button", { type: "submit" }, "Find"));
  const element = h("div", {}, h("div", { class: "head" }, h("h1", {}, "Dead letters"), h("p", { class: "muted" }, "Rejected messages, and why."), h("div", { class: "end" }, fresh, bulk)), problem, h("section", { class: "panel", "aria-label": "Dead letters" }, form, list, more));
  let rows = [];
  let next = null;
  let unseen = 0;

  const filter = () => Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()]).filter(([, value]) => value));

  async function load(cursor = null) {
    await attempt(problem, async () => {
      const query = new URLSearchParams({ limit: 50, ...filter(), ...(cursor ? { cursor } : {}) });
      const page = await get(`/api/dead-letters?${query}`);
      rows = cursor ? [...rows, ...page.deadLetters] : page.deadLetters;
      next = page.next;
      more.hidden = !next;
      if (!cursor) show(0);
      list.replaceChildren(rows.length ? table("Dead letters, newest first", COLUMNS, rows.map((letter) => [
        h("span", {}, h("a", { href: `#/letters/${encodeURIComponent(letter.id)}` }, letter.reason), h("br"), h("span", { class: "muted small" }, letter.detail)),
        letter.venId ? h("span", { class: "id" }, letter.venId) : "–",
        h("span", { class: "id" }, letter.mqttTopic ?? letter.topic),
        badge(letter.state),
        time(letter.receivedAt),
      ])) : h("p", { class: "empty" }, Object.keys(filter()).length ? "No dead letter matches." : "There is no dead letter: no message was rejected."));
    });
  }

  function askBulk() {
    const chosen = filter();
    const all = !Object.keys(chosen).length;
    const what = all ? "every dead letter that is not stored" : `what matches ${Object.entries(chosen).map(([name, value]) => `${name} “${value}”`).join(", ")}`;
    confirmThat("Replay these dead letters?", `This sends ${what} again as it is, a thousand at most. What is stored already is not stored twice.`, "Replay them", async () => {
      const outcome = await send("POST", "/api/dead-letters/replay", all ? { all: true } : chosen);
      const words = Object.entries(outcome.outcomes).map(([state, count]) => `${number(count)} ${state.replaceAll("_", " ")}`).join(", ");
      announce(`${plural(outcome.requested, "dead letter was", "dead letters were")} replayed: ${words}.`);
      await load();
      problem.replaceChildren(h("p", { class: "notice good" }, `${plural(outcome.requested, "dead letter was", "dead letters were")} replayed${words ? `: ${words}` : ""}.`));
    });
  }

  function show(count) {
    unseen = count;
    fresh.hidden = !count;
    say(fresh, `Show ${plural(count, "new letter")}`);
  }

  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    load();
  });
  inputs.state.addEventListener("change", () => load());
  const stop = feed.on("deadLetters", ({ deadLetters }) => show(unseen + deadLetters.length));
  load();
  return { element, title: "Dead letters", leave: stop };
}
