// The form for a new event. What the API finds wrong is said at the field that it is about.

import { Once } from "../api.js";
import { openDialog } from "../dialogs.js";
import { announce, field, h } from "../dom.js";

const FIELDS = { "body.requestedReductionKw": "kw", "body.startTime": "start", "body.endTime": "minutes", "body.venIds": "vens" };

export function createEvent() {
  const once = new Once();
  const inputs = {
    kw: h("input", { type: "number", step: "any", inputmode: "decimal", autofocus: true, autocomplete: "off" }),
    minutes: h("input", { type: "number", step: "any", inputmode: "numeric", value: 60 }),
    start: h("input", { type: "datetime-local", value: localText(new Date(Date.now() + 15 * 60_000)) }),
    vens: h("textarea", { rows: 2, spellcheck: "false" }),
  };
  const fields = {
    kw: field("Reduction, in kW", inputs.kw),
    minutes: field("Length, in minutes", inputs.minutes),
    start: field("Start", inputs.start, "In your own time zone."),
    vens: field("Only these VENs", inputs.vens, "Their ids, separated by spaces or commas. Empty: all that are online."),
  };
  const now = h("input", { type: "radio", name: "when", id: "when-now", checked: true });
  const later = h("input", { type: "radio", name: "when", id: "when-later" });
  const when = () => (fields.start.hidden = !later.checked);
  now.addEventListener("change", when);
  later.addEventListener("change", when);
  when();
  const error = h("p", { class: "error", role: "alert" });
  const submit = h("button", { type: "submit", class: "primary" }, "Create the event");
  const form = h(
    "form",
    { novalidate: true },
    h("div", { class: "pair" }, fields.kw, fields.minutes),
    h("fieldset", {}, h("legend", {}, "When"),
      h("div", { class: "choice" }, now, h("label", { for: "when-now" }, "Now")),
      h("div", { class: "choice" }, later, h("label", { for: "when-later" }, "At a time"))),
    fields.start,
    fields.vens,
    error,
    h("div", { class: "actions" }, h("button", { type: "button", onclick: () => dialog.close() }, "Not now"), submit),
  );
  form.addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    for (const each of Object.values(fields)) each.wrong(null);
    error.textContent = "";
    submit.disabled = true;
    try {
      const event = await once.send("/api/events", body());
      announce(`Event ${event.id} was created.`);
      dialog.close();
      location.hash = `#/events/${encodeURIComponent(event.id)}`;
    } catch (problem) {
      show(problem);
    }
    submit.disabled = false;
  });

  // The start of "now" is kept while nothing else changes, so that a second try is the same request.
  let began = null;
  function body() {
    const minutes = inputs.minutes.valueAsNumber;
    const typed = JSON.stringify(Object.values(inputs).map((input) => input.value)) + later.checked;
    if (began?.typed !== typed) began = { typed, at: new Date() };
    const start = later.checked ? new Date(inputs.start.value) : began.at;
    const end = new Date(start.getTime() + (Number.isFinite(minutes) ? minutes : 0) * 60_000);
    const iso = (moment) => (Number.isNaN(moment.getTime()) ? null : moment.toISOString());
    const ids = inputs.vens.value.split(/[\s,]+/).filter(Boolean);
    const kw = inputs.kw.valueAsNumber;
    return {
      startTime: iso(start),
      endTime: iso(end),
      requestedReductionKw: Number.isFinite(kw) ? kw : null,
      ...(later.checked ? {} : { status: "active" }),
      ...(ids.length ? { venIds: ids } : {}),
    };
  }

  function show(problem) {
    const rest = [];
    for (const { location, message } of problem.fields) {
      const name = FIELDS[Object.keys(FIELDS).find((known) => location.startsWith(known))];
      if (name) fields[name].wrong(message.replace(/^Value error, /, ""));
      else if (/endTime/.test(message)) fields.minutes.wrong("The event has to last longer than that.");
      else rest.push(message.replace(/^Value error, /, ""));
    }
    if (!problem.fields.length && problem.message.startsWith("VenIds")) fields.vens.wrong(problem.message.replace(/^VenIds: /, ""));
    else if (/endTime/.test(problem.message)) fields.minutes.wrong("The event has to end after now.");
    else if (!problem.fields.length) rest.push(problem.message);
    error.textContent = rest.join(" ");
    form.querySelector("[aria-invalid]")?.focus();
  }

  const dialog = openDialog("New event", form);
}

function localText(moment) {
  return new Date(moment - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
