// States as words with a colour; the word says it all.

import { h } from "./dom.js";

const LOOKS = {
  online: "good", offline: "warn", disabled: "", deleted: "bad",
  active: "accent", scheduled: "warn", completed: "good", cancelled: "",
  shedding: "good", accepted: "good", acknowledged: "good", restored: "accent", sent: "accent", stored: "good",
  refused: "bad", lost: "bad", expired: "bad", unanswered: "warn", rejected: "bad", already_stored: "good", open: "warn",
};

export const badge = (state) => h("span", { class: `badge ${LOOKS[state] ?? ""}` }, state.replaceAll("_", " "));
