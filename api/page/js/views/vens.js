// VENs: find one.

import { getPage, part } from "../api.js";
import { badge } from "../badges.js";
import { field, h, redraw, table } from "../dom.js";
import { kw } from "../format.js";
import { attempt, since } from "./shared.js";

const COLUMNS = [{ name: "VEN" }, { name: "Status" }, { name: "Power", num: true }, { name: "Can shed", num: true, wide: true }, { name: "Event", wide: true }, { name: "Last message", num: true, wide: true }];

export function vensView(feed) {
  const problem = h("div");
  const q = h("input", { type: "search", autocomplete: "off", spellcheck: "false", maxlength: 128 });
  const status = h("select", {}, [["", "any"], ["online", "online"], ["offline", "offline"], ["disabled", "disabled"]].map(([value, words]) => h("option", { value }, words)));
  const list = h("div", { "aria-live": "off" }, h("p", { class: "empty" }, "Loading …"));
  const more = h("button", { type: "button", hidden: true, onclick: () => load(next) }, "Show more");
  const form = h("form", { class: "row", role: "search", "aria-label": "VENs" }, field("Id or name", q), field("Status", status));
  const element = h("div", {}, h("div", { class: "head" }, h("h1", {}, "VENs")), problem, h("section", { class: "panel", "aria-label": "VENs" }, form, list, more));
  let rows = [];
  let next = null;
  let asked = 0;

  async function load(path = null) {
    const mine = ++asked;
    await attempt(problem, async () => {
      const query = new URLSearchParams({ limit: 50 });
      if (q.value) query.set("q", q.value);
      if (status.value) query.set("status", status.value);
      const page = await getPage(path ?? `/api/vens?${query}`);
      // An answer that was overtaken by a later one is nobody's.
      if (mine !== asked) return;
      rows = path ? [...rows, ...page.rows] : page.rows;
      next = page.next;
      more.hidden = !next;
      draw();
    });
  }

  function draw() {
    redraw(list, rows.length ? table("VENs, by id", COLUMNS, rows.map((ven) => [
      h("span", {}, h("a", { href: `#/vens/${part(ven.id)}` }, ven.name), h("br"), h("span", { class: "id" }, ven.id)),
      badge(ven.status),
      kw(ven.metrics.currentPowerKw),
      kw(ven.metrics.shedAvailabilityKw),
      ven.metrics.activeEventId ? h("span", { class: "id" }, ven.metrics.activeEventId) : "–",
      since(ven.lastSeen),
    ])) : h("p", { class: "empty" }, "No VEN matches."));
  }

  let timer = null;
  q.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(load, 250);
  });
  status.addEventListener("change", () => load());
  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    load();
  });
  const stop = feed.on("vens", ({ vens }) => {
    for (const { id, status } of vens) {
      const row = rows.find((row) => row.id === id);
      if (row) row.status = status;
    }
    if (rows.length) draw();
  });
  load();
  return { element, title: "VENs", leave: () => (stop(), clearTimeout(timer)) };
}
