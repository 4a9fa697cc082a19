// Removes readings of one VEN that were wrong, after a confirmation.

import { send } from "../api.js";
import { confirmThat } from "../dialogs.js";
import { field, h, say } from "../dom.js";

export function removalForm(path, removed) {
  const start = h("input", { type: "datetime-local", step: 1, required: true });
  const end = h("input", { type: "datetime-local", step: 1, required: true });
  const outcome = h("p", { class: "small muted", role: "status" });
  const form = h(
    "form",
    { class: "stack" },
    h("div", { class: "pair" }, field("From (UTC)", start), field("To (UTC)", end)),
    h("div", { class: "row" }, h("button", { type: "submit", class: "danger" }, "Remove readings")),
    outcome,
  );
  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    const range = new URLSearchParams({ start: `${start.value}Z`, end: `${end.value}Z` });
    confirmThat("Remove these readings?", `This deletes the readings and load snapshots from ${start.value} to ${end.value} UTC. Energy, histories and settled events are computed again.`, "Remove them", async () => {
      const { removedReadings } = await send("DELETE", `${path}/telemetry?${range}`);
      say(outcome, `${removedReadings} readings were removed.`);
      removed();
    });
  });
  return form;
}
