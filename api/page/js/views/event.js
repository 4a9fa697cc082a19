// One DR event: its funnel filling up, its VENs, and what each circuit did.

import { get, part, send } from "../api.js";
import { badge } from "../badges.js";
import { confirmThat } from "../dialogs.js";
import { announce, h, redraw, say, table } from "../dom.js";
import { kw, milliseconds, number, plural, span } from "../format.js";
import { FunnelView } from "./funnel.js";
import { attempt, paced, panel, stat } from "./shared.js";

const MOST_ROWS = 200;
const VENS = [{ name: "VEN" }, { name: "Status" }, { name: "Share", num: true, wide: true }, { name: "Shed", num: true }, { name: "Answered after", num: true, wide: true }];
const CIRCUITS = [{ name: "Circuit" }, { name: "VEN", wide: true }, { name: "Before", num: true }, { name: "Shed", num: true }, { name: "Left", num: true }];

export function eventView(feed, id) {
  const path = `/api/events/${part(id)}`;
  const problem = h("div");
  const status = h("span");
  const when = h("p", { class: "muted" });
  const stop = h("button", { type: "button", hidden: true, "data-needs": "operator", onclick: ask }, "Stop");
  const remove = h("button", { type: "button", class: "danger", "data-needs": "admin", onclick: askDelete }, "Delete");
  const figures = { asked: stat("Asked for"), now: stat("Reduction"), vens: stat("VENs responding"), answer: stat("Answers after") };
  const share = h("div", { class: "fill" });
  figures.now.element.append(h("div", { class: "track", "aria-hidden": "true" }, share));
  const funnel = new FunnelView();
  const vens = h("div");
  const circuits = h("div");
  const element = h(
    "div",
    {},
    h("div", { class: "head" }, h("h1", {}, "Event ", h("span", { class: "mono" }, id)), status, when, h("div", { class: "end" }, stop, remove)),
    problem,
    h("div", { class: "stats" }, Object.values(figures).map((each) => each.element)),
    h("div", { class: "columns" }, panel("How far the VENs got", funnel.element)),
    h("div", { class: "columns even" }, panel("VENs", vens), panel("Circuits", circuits)),
  );
  let shown = null;

  function show(event) {
    const before = shown?.status;
    shown = { ...shown, ...event };
    const active = shown.status === "active";
    status.replaceChildren(badge(shown.status));
    say(when, span(shown.startTime, shown.endedAt ?? shown.endTime));
    stop.hidden = !(active || shown.status === "scheduled");
    say(stop, active ? "Stop" : "Cancel");
    figures.asked.show(number(shown.requestedReductionKw, 1), "kW", "");
    const unknown = NO_REDUCTION[shown.status] ?? (shown.actualReductionKw === null ? "not computed yet" : null);
    const reached = unknown ? 0 : (100 * shown.actualReductionKw) / shown.requestedReductionKw;
    figures.now.show(unknown ? "–" : number(shown.actualReductionKw, 1), unknown ? "" : "kW", unknown ?? `${number(reached)} % of it, ${active ? "now" : "on average"}`);
    share.style.width = `${Math.max(0, Math.min(100, reached))}%`;
    figures.vens.show(number(shown.vensResponding), "", `of ${plural(shown.funnel.targeted, "VEN that takes part", "VENs that take part")}`);
    const { p50, p95 } = shown.responseMs;
    figures.answer.show(milliseconds(p50), "", p95 === null ? "no answer yet" : `half of them; 95 % within ${milliseconds(p95)}`);
    funnel.show(shown.funnel);
    if (before && before !== shown.status) announce(`The event is ${shown.status}.`);
  }

  async function load() {
    await attempt(problem, async () => {
      const [event, lines] = await Promise.all([get(path), get(`${path}/circuits?limit=1000`)]);
      show(event);
      redraw(
        vens,
        event.vens.length ? table("VENs of this event", VENS, event.vens.sort(byTrouble).slice(0, MOST_ROWS).map(venRow)) : h("p", { class: "empty" }, "No VEN selected yet."),
        rest(event.vens.length, "VEN"),
      );
      redraw(
        circuits,
        lines.length ? table("What each circuit did", CIRCUITS, lines.sort((a, b) => b.curtailed_kw - a.curtailed_kw).slice(0, MOST_ROWS).map(circuitRow)) : h("p", { class: "empty" }, "No VEN has reported its circuits yet."),
        rest(lines.length, "circuit"),
      );
    });
  }

  function ask() {
    const active = shown.status === "active";
    confirmThat(active ? "Stop this event?" : "Cancel this event?", active ? "Every VEN that may have received it gets a restore. Results are computed up to now." : "No VEN has received it yet. It stays readable as cancelled.", active ? "Stop the event" : "Cancel the event", async () => {
      await send("POST", `${path}/stop`);
      refresh();
    });
  }

  function askDelete() {
    confirmThat("Delete this event?", `It can no longer be read then${shown?.status === "active" ? ", and the VENs get a restore" : ""}. Commands and answers stay in the history of the VENs.`, "Delete the event", async () => {
      await send("DELETE", path);
      announce("The event was deleted.");
      location.hash = "#/events";
    });
  }

  const refresh = paced(2500, load);
  const off = feed.on("event", (event) => {
    if (event.id !== id || !shown) return;
    if (event.status === "deleted") {
      problem.replaceChildren(h("p", { class: "notice" }, "This event was deleted."));
      return;
    }
    show(event);
    refresh();
  });
  refresh();
  return { element, title: `Event ${id}`, leave: () => (off(), refresh.stop()) };
}

const NO_REDUCTION = { scheduled: "it has not begun", cancelled: "it never began" };

// Those that need somebody come first, then those that shed most.
const TROUBLE = ["refused", "lost", "unanswered", "expired", "sent", "targeted"];
const trouble = (ven) => (TROUBLE.indexOf(ven.status) + 1 || 99) * (ven.shareKw === 0 ? 2 : 1);
const byTrouble = (a, b) => trouble(a) - trouble(b) || b.shedKw - a.shedKw;

const venRow = (ven) => [
  h("span", {}, h("a", { href: `#/vens/${part(ven.venId)}` }, ven.venName), ven.late ? h("span", { class: "muted small" }, " came late") : null),
  badge(ven.status),
  ven.shareKw === null ? h("span", { class: "muted" }, ven.reason ?? "–") : kw(ven.shareKw),
  kw(ven.shedKw),
  milliseconds(ven.ackedAfterMs),
];
const circuitRow = (line) => [
  h("span", {}, line.name, line.critical ? h("span", { class: "muted small" }, " critical") : null),
  h("a", { href: `#/vens/${part(line.venId)}` }, line.venName),
  kw(line.original_kw),
  kw(line.curtailed_kw),
  kw(line.final_kw),
];
const rest = (count, what) => (count > MOST_ROWS ? h("p", { class: "muted small" }, `The first ${MOST_ROWS} of ${plural(count, what)}; the API has all.`) : "");
