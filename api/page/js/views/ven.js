// One VEN: what it does, its last hour, its loads, and every command with its steps.

import { get, part } from "../api.js";
import { badge } from "../badges.js";
import { PowerChart } from "../chart.js";
import { h, redraw, say, table } from "../dom.js";
import { kw, number, time } from "../format.js";
import { commandForms } from "./command_forms.js";
import { removalForm } from "./removal_form.js";
import { attempt, needs, paced, panel, since, stat } from "./shared.js";

const LOADS = [{ name: "Load" }, { name: "Power", num: true }, { name: "Can shed", num: true }, { name: "Enabled", wide: true }];
const COMMANDS = [{ name: "Command" }, { name: "State" }, { name: "Decided", num: true }, { name: "Steps", wide: true }];
const STEPS = [["loggedAt", "in Kafka"], ["sentAt", "sent"], ["ackedAt", "answered"], ["reportedAt", "in a sample"], ["shedAt", "shedding"], ["lostAt", "lost"], ["unansweredAt", "no answer"], ["expiredAt", "too late"]];
const EVERY_MS = 5000;

export function venView(feed, id) {
  const path = `/api/vens/${part(id)}`;
  const problem = h("div");
  const name = h("h1", {}, id);
  const status = h("span");
  const figures = { power: stat("Power"), can: stat("Can be shed"), event: stat("In event"), heard: stat("Last message") };
  const chart = new PowerChart(`Power of ${id} in the last hour`);
  const loads = h("div");
  const commands = h("div");
  const forms = commandForms(path, () => refresh());
  const element = h(
    "div",
    {},
    h("div", { class: "head" }, name, status, h("span", { class: "id" }, id)),
    problem,
    h("div", { class: "stats" }, Object.values(figures).map((each) => each.element)),
    h("div", { class: "columns two" },
      h("div", { class: "stack" }, panel("The last hour", chart.element), panel("Commands", commands)),
      h("div", { class: "stack" }, needs("operator", panel("Send a command", forms.element)), panel("Loads", loads),
        needs("operator", panel("Remove wrong readings", removalForm(path, () => refresh()))))),
  );

  async function load() {
    const start = new Date(Date.now() - 3600_000).toISOString();
    await attempt(problem, async () => {
      const [ven, history, trail] = await Promise.all([get(path), get(`${path}/history?granularity=30s&start=${start}`), get(`${path}/commands?limit=20`)]);
      show(ven);
      const points = history.points;
      chart.show([points.map((point) => new Date(point.timestamp) / 1000), points.map((point) => point.usedPowerKw), points.map((point) => point.shedPowerKw)]);
      redraw(commands, trail.length ? table("Commands, newest first", COMMANDS, trail.map(commandRow)) : h("p", { class: "empty" }, "It was never sent a command."));
    });
  }

  function show(ven) {
    say(name, ven.name);
    status.replaceChildren(badge(ven.status));
    figures.power.show(number(ven.metrics.currentPowerKw, 2), "kW", `measured ${time(ven.measuredAt)}`);
    figures.can.show(number(ven.metrics.shedAvailabilityKw, 2), "kW", "of its enabled loads");
    const event = ven.metrics.activeEventId;
    figures.event.show(event ? "yes" : "no", "", "");
    figures.event.note.replaceChildren(event ? h("a", { class: "mono", href: `#/events/${part(event)}` }, event) : "");
    figures.heard.show(time(ven.lastSeen), "", "");
    figures.heard.note.replaceChildren(since(ven.lastSeen));
    forms.loads(ven.loads);
    redraw(loads, ven.loads.length ? table("Loads", LOADS, ven.loads.map((each) => [
      h("span", {}, each.name, h("br"), h("span", { class: "id" }, `${each.id} · ${each.type}`)),
      kw(each.currentPowerKw),
      kw(each.shedCapabilityKw),
      each.pending ? "asked for" : each.enabled ? "yes" : "no",
    ])) : h("p", { class: "empty" }, "It has not listed its loads."));
  }

  const refresh = paced(1500, load);
  refresh();
  const timer = setInterval(refresh, EVERY_MS);
  const stops = [
    feed.on("commands", (data) => data.commands.some((command) => command.venId === id) && refresh()),
    feed.on("vens", ({ vens }) => vens.some((ven) => ven.id === id) && refresh()),
    () => clearInterval(timer),
    () => refresh.stop(),
    () => chart.destroy(),
  ];
  return { element, title: id, leave: () => stops.forEach((stop) => stop()) };
}

function commandRow(command) {
  const way = STEPS.filter(([step]) => command[step]).map(([step, words]) => {
    const after = new Date(command[step]) - new Date(command.decidedAt);
    return h("li", { class: "small" }, `${words} `, h("span", { class: "muted" }, after < 0 ? time(command[step]) : `+${number(after / 1000, after < 10_000 ? 2 : 0)} s`));
  });
  return [
    h("span", {}, command.op, h("br"), h("span", { class: "id" }, command.eventId ?? command.correlationId)),
    badge(command.state),
    time(command.decidedAt),
    way.length ? h("ol", { class: "trail" }, way) : "–",
  ];
}
