// The fleet now: what it uses and could shed, the last hour, events, and what happened last.

import { get } from "../api.js";
import { badge } from "../badges.js";
import { PowerChart } from "../chart.js";
import { h, redraw, say } from "../dom.js";
import { age, kw, number, plural, span, time } from "../format.js";
import { PipelineView } from "./pipeline.js";
import { attempt, panel, stat } from "./shared.js";

const HOUR_S = 3600;
const STEP_S = 30;
const MOST_NEWS = 60;
const TOGETHER_MS = 15_000;
const OLD_MS = 30_000;

export function fleetView(feed) {
  const problem = h("div");
  const stats = { online: stat("VENs online"), used: stat("Power used"), can: stat("Can be shed now"), shed: stat("Reduction now") };
  const asOf = h("span", {}, "…");
  const old = h("span", { class: "badge warn", hidden: true }, "not up to date");
  const figures = h("div", { class: "stats" }, Object.values(stats).map((each) => each.element));
  const chart = new PowerChart("Power of the network in the last hour", ["Used", "Reduction"]);
  const events = h("div", {}, h("p", { class: "empty" }, "Loading …"));
  const news = h("ol", { class: "log", tabindex: 0, "aria-label": "What happened last" });
  const nothing = h("p", { class: "empty" }, "Nothing since this page was opened.");
  const pipeline = new PipelineView();
  const series = new Series();
  const open = new Map();
  let loaded = false;
  let moved = null;

  const element = h(
    "div",
    {},
    h("div", { class: "head" }, h("h1", {}, "The fleet now"), h("p", { class: "muted" }, "as of ", asOf), old),
    problem,
    figures,
    h(
      "div",
      { class: "columns two" },
      h("div", { class: "stack" }, panel("The last hour", chart.element), panel("What happened last", nothing, news)),
      h(
        "div",
        { class: "stack" },
        h("section", { class: "panel" }, h("div", { class: "title" }, h("h2", {}, "Events"), h("a", { class: "end", href: "#/events" }, "All events")), events),
        panel("The pipeline", pipeline.element),
      ),
    ),
  );

  function totals(data) {
    stats.online.show(number(data.onlineVens), `of ${number(data.venCount)}`, `${number(data.venCount - data.onlineVens)} offline`);
    const [used, can, shed] = [data.householdUsageKw, data.potentialLoadReductionKw, data.currentLoadReductionKw];
    stats.used.show(number(used, 1), "kW", data.averageHousePower === undefined ? "no VEN is online" : `${number(data.averageHousePower, 2)} kW a home`);
    stats.can.show(number(can, 1), "kW", used > 0 ? `${number((100 * can) / used)} % of what is used` : "");
    stats.shed.show(number(shed, 1), "kW", shed > 0 ? `${number((100 * shed) / (used + shed))} % less than without` : "nothing is shed");
    asOf.dataset.since = data.asOf;
    say(asOf, age(data.asOf));
    showAge();
    series.add(new Date(data.asOf) / 1000, used, shed);
    chart.show(series.data());
  }

  // Also when no totals come any more, while the connection to the API lives.
  function showAge() {
    const isOld = Boolean(asOf.dataset.since) && Date.now() - new Date(asOf.dataset.since) > OLD_MS;
    figures.classList.toggle("old", isOld);
    old.hidden = !isOld;
  }
  const ageing = setInterval(showAge, 5000);

  function tell(moment, ...words) {
    nothing.hidden = true;
    news.prepend(h("li", {}, h("time", { datetime: new Date(moment).toISOString() }, time(moment)), h("span", {}, ...words)));
    while (news.children.length > MOST_NEWS) news.lastChild.remove();
  }

  function drawEvents() {
    // Once a second while one is active: not between the two halves of a click.
    if (events.matches(":active")) return;
    const rows = [...open.values()].filter((event) => event.status === "active" || event.status === "scheduled");
    rows.sort((a, b) => a.startTime.localeCompare(b.startTime));
    if (!rows.length) {
      redraw(events, h("p", { class: "empty" }, "No event is active or to come."));
      return;
    }
    redraw(events, h("ul", { class: "log events" }, rows.map((event) =>
      h("li", {},
        h("span", {}, badge(event.status)),
        h("span", {},
          h("a", { href: `#/events/${encodeURIComponent(event.id)}` }, `${kw(event.requestedReductionKw)}, ${span(event.startTime, event.endTime)}`),
          event.status === "active"
            ? h("span", { class: "muted" }, ` · ${kw(event.currentReductionKw ?? event.actualReductionKw)} now${event.funnel ? ` · ${number(event.funnel.acknowledged)} of ${number(event.funnel.targeted)} accepted` : ""}`)
            : null,
        )))));
  }

  const stops = [
    feed.on("totals", totals),
    feed.on("event", (event) => {
      const before = open.get(event.id);
      // What an event is when the page opens is no news.
      const news = loaded && before?.status !== event.status;
      open.set(event.id, event);
      drawEvents();
      if (news) tell(Date.now(), "Event ", link("events", event.id), " is ", badge(event.status));
    }),
    feed.on("vens", ({ vens }) => {
      if (vens.length > 5) tell(Date.now(), summary(vens));
      else for (const ven of vens) tell(Date.now(), link("vens", ven.id, ven.name), " is ", badge(ven.status));
    }),
    feed.on("commands", ({ commands }) => {
      const last = commands.at(-1);
      // The commands of an event move together, for some seconds: one line of news.
      if (moved && news.firstChild === moved.line && new Date(last.changedAt) - moved.at < TOGETHER_MS) {
        for (const { correlationId } of commands) moved.ids.add(correlationId);
        say(moved.line.lastChild, `${plural(moved.ids.size, "command")} changed state`);
      } else if (commands.length > 1) {
        tell(last.changedAt, `${plural(commands.length, "command")} changed state`);
        moved = { line: news.firstChild, at: new Date(last.changedAt), ids: new Set(commands.map((command) => command.correlationId)) };
      }
      else tell(last.changedAt, `${last.op} to `, link("vens", last.venId), ": ", badge(last.state));
    }),
    feed.on("deadLetters", ({ deadLetters }) => {
      const last = deadLetters.at(-1);
      if (deadLetters.length > 1) tell(last.receivedAt, h("a", { href: "#/letters" }, plural(deadLetters.length, "dead letter")), `, the last: ${last.reason}`);
      else tell(last.receivedAt, "Dead letter ", link("letters", last.id, last.reason), last.venId ? ` of ${last.venId}` : "");
    }),
    () => clearInterval(ageing),
    () => chart.destroy(),
    () => pipeline.leave(),
  ];

  attempt(problem, async () => {
    const start = new Date(Date.now() - HOUR_S * 1000).toISOString();
    const [history, now, current] = await Promise.all([
      get(`/api/stats/network/history?granularity=30s&start=${start}`),
      get("/api/stats/network").catch(() => null),
      Promise.all(["active", "scheduled"].map((status) => get(`/api/events?status=${status}&limit=20`))),
    ]);
    for (const point of history.points) series.add(new Date(point.timestamp) / 1000, point.usedPowerKw, point.shedPowerKw);
    for (const event of current.flat()) if (!open.has(event.id)) open.set(event.id, event);
    drawEvents();
    loaded = true;
    if (now) totals(now);
    else stats.online.show("–", "", "no totals yet: is the stream role “live” running?");
    chart.show(series.data());
  });

  return { element, title: "Fleet", leave: () => stops.forEach((stop) => stop()) };
}

const link = (view, id, words = id) => h("a", { href: `#/${view}/${encodeURIComponent(id)}` }, words);

function summary(vens) {
  const counts = new Map();
  for (const ven of vens) counts.set(ven.status, (counts.get(ven.status) ?? 0) + 1);
  return [...counts].map(([status, count]) => `${plural(count, "VEN")} ${status}`).join(", ");
}

// The last hour in steps of 30 s; of live totals the newest in a step counts.
class Series {
  #steps = new Map();

  add(seconds, used, shed) {
    this.#steps.set(Math.floor(seconds / STEP_S) * STEP_S, [used, shed]);
  }

  data() {
    const from = Date.now() / 1000 - HOUR_S;
    for (const step of this.#steps.keys()) if (step < from) this.#steps.delete(step);
    const times = [...this.#steps.keys()].sort((a, b) => a - b);
    // A step that nobody knows of is a gap, not a line drawn over it.
    const all = [];
    for (const [n, step] of times.entries()) {
      if (n && step - times[n - 1] > 3 * STEP_S) all.push([step - STEP_S, null, null]);
      all.push([step, ...this.#steps.get(step)]);
    }
    return [all.map((row) => row[0]), all.map((row) => row[1]), all.map((row) => row[2])];
  }
}
