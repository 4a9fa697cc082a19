// Dialogs: the browser's own, which keep the focus inside and give it back.

import { h, newId } from "./dom.js";

export function openDialog(title, ...content) {
  const heading = h("h2", { id: newId("title") }, title);
  const dialog = h("dialog", { "aria-labelledby": heading.id }, heading, ...content);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// Asks before something that cannot be undone; act() may fail, and says so in the dialog.
export function confirmThat(title, words, verb, act) {
  const error = h("p", { class: "error", role: "alert" });
  const sure = h("button", { type: "button", class: "danger sure" }, verb);
  const dialog = openDialog(
    title,
    h("p", { class: "muted" }, words),
    error,
    h("div", { class: "actions" }, h("button", { type: "button", autofocus: true, onclick: () => dialog.close() }, "Keep it as it is"), sure),
  );
  sure.addEventListener("click", async () => {
    sure.disabled = true;
    try {
      await act();
      dialog.close();
    } catch (problem) {
      error.textContent = problem.message;
      sure.disabled = false;
    }
  });
}
