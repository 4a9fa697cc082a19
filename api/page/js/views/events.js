// DR events: all of them, and a new one.

import { getPage } from "../api.js";
import { badge } from "../badges.js";
import { announce, h, redraw, table } from "../dom.js";
import { kw, number, span } from "../format.js";
import { createEvent } from "./create_event.js";
import { attempt, paced } from "./shared.js";

const COLUMNS = [{ name: "Event" }, { name: "Status" }, { name: "Asked for", num: true }, { name: "Reduction", num: true }, { name: "Accepted", num: true, wide: true }];

export function eventsView(feed) {
  const problem = h("div");
  const list = h("div", {}, h("p", { class: "empty" }, "Loading …"));
  const more = h("button", { type: "button", hidden: true, onclick: () => load(next) }, "Show earlier events");
  const live = new Map();
  let rows = [];
  let next = null;

  const element = h(
    "div",
    {},
    h("div", { class: "head" }, h("h1", {}, "Events"), h("div", { class: "end" }, h("button", { type: "button", class: "primary", "data-needs": "operator", onclick: () => createEvent() }, "New event"))),
    problem,
    h("section", { class: "panel", "aria-label": "All events" }, list, more),
  );

  async function load(path = "/api/events?limit=50") {
    await attempt(problem, async () => {
      const page = await getPage(path);
      rows = path === next ? [...rows, ...page.rows] : page.rows;
      next = page.next;
      more.hidden = !next;
      draw();
    });
  }

  function draw() {
    if (!rows.length) {
      list.replaceChildren(h("p", { class: "empty" }, "There is no event yet. A new one asks the fleet for a reduction from a start to an end."));
      return;
    }
    redraw(list, table("Events, those that start last first", COLUMNS, rows.map((row) => {
      const event = { ...row, ...live.get(row.id) };
      const reduction = event.actualReductionKw ?? row.actualReductionKw;
      return [
        h("span", {}, h("a", { href: `#/events/${encodeURIComponent(event.id)}` }, span(event.startTime, event.endTime)), h("br"), h("span", { class: "id" }, event.id)),
        badge(event.status),
        kw(event.requestedReductionKw),
        event.status === "scheduled" || event.status === "cancelled" ? "–" : kw(reduction),
        event.funnel ? `${number(event.funnel.acknowledged)} of ${number(event.funnel.targeted)}` : "–",
      ];
    })));
  }

  const reload = paced(2000, () => load());
  const stop = feed.on("event", (event) => {
    // One that is farther down than the list goes is told of, too, and not found by reading the list again.
    const known = live.has(event.id) || rows.some((row) => row.id === event.id);
    live.set(event.id, event);
    if (event.status === "deleted") rows = rows.filter((row) => row.id !== event.id);
    else if (!known) reload();
    draw();
  });
  load();
  announce("");
  return { element, title: "Events", leave: () => (stop(), reload.stop()) };
}
