// Commands that an operator sends to one VEN: ping it, or shed something at one load.

import { Once } from "../api.js";
import { field, h, say } from "../dom.js";

export function commandForms(path, sent) {
  const ping = new Once();
  const shed = new Once();
  const outcome = h("p", { class: "small muted", role: "status" });
  const load = h("select");
  const amount = h("input", { type: "number", step: "any", inputmode: "decimal", value: 1 });
  const minutes = h("input", { type: "number", step: "any", inputmode: "numeric", value: 15 });
  const fields = { "body.amountKw": field("kW", amount), "body.durationS": field("Minutes", minutes) };
  const form = h(
    "form",
    { novalidate: true, class: "stack" },
    field("Load", load),
    h("div", { class: "pair" }, Object.values(fields)),
    h("div", { class: "row" }, h("button", { type: "submit" }, "Shed at this load")),
  );

  async function attempt(send) {
    for (const each of Object.values(fields)) each.wrong(null);
    say(outcome, "");
    try {
      const answer = await send();
      say(outcome, `${answer.op} was accepted; see the list of commands.`);
      sent();
    } catch (problem) {
      const known = problem.fields?.filter(({ location }) => fields[location]) ?? [];
      for (const { location, message } of known) fields[location].wrong(message);
      if (!known.length) say(outcome, problem.message);
    }
  }

  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    attempt(() => shed.send(`${path}/loads/${encodeURIComponent(load.value)}/commands/shed`, {
      amountKw: Number.isFinite(amount.valueAsNumber) ? amount.valueAsNumber : null,
      durationS: Math.round(60 * minutes.valueAsNumber) || 0,
    }));
  });
  const button = h("button", { type: "button", onclick: () => attempt(() => ping.send(`${path}/commands`, { op: "ping" })) }, "Ping");
  return {
    element: h("div", { class: "stack" }, h("div", {}, button), form, outcome),
    loads(loads) {
      const names = loads.map((each) => each.id).join("\n");
      if (load.dataset.names === names) return;
      load.dataset.names = names;
      load.replaceChildren(...loads.map((each) => h("option", { value: each.id }, each.name)));
      form.hidden = !loads.length;
    },
  };
}
