// Who asks: a key that is asked for when the API wants one. It is kept for this tab alone, and sent as a header, so no
// other page can use it.

import { openDialog } from "./dialogs.js";
import { field, h, say } from "./dom.js";

export class NoKey extends Error {}

const PLACE = "gateway-key";
let asking = null;

const bearer = (key) => (key ? { authorization: `Bearer ${key}` } : {});

// fetch() with the key. Where the API does not take it, another one is asked for, and the request is sent again.
export async function fetchAs(path, options = {}) {
  for (;;) {
    const key = sessionStorage.getItem(PLACE);
    const answer = await fetch(path, { ...options, headers: { ...options.headers, ...bearer(key) } });
    if (answer.status !== 401) return answer;
    // Many requests are under way: the first one asks, and what came in meanwhile serves them all.
    if (sessionStorage.getItem(PLACE) === key) await (asking ??= ask(key !== null).finally(() => (asking = null)));
  }
}

// Learns the role, by which the styles show what may be done, and shows who is signed in.
export async function showWho() {
  const answer = await fetchAs("/api/me");
  if (!answer.ok) return;
  const who = await answer.json();
  document.documentElement.dataset.role = who.role;
  const signedIn = who.by !== "open";
  document.getElementById("signed-in").hidden = !signedIn;
  if (signedIn) say(document.getElementById("who"), `${who.name} (${who.role})`);
}

export function startSession(button) {
  button.addEventListener("click", () => {
    sessionStorage.removeItem(PLACE);
    location.reload();
  });
}

function ask(again) {
  const input = h("input", { type: "password", autocomplete: "off", spellcheck: "false", autofocus: true });
  const place = field("API key or token", input, "An administrator makes keys with gateway keys create. It is kept until this tab is closed.");
  const submit = h("button", { type: "submit", class: "primary" }, "Go on");
  const form = h("form", { novalidate: true }, place, h("div", { class: "actions" }, submit));
  const dialog = openDialog("Sign in", form);
  if (again) place.wrong("The key that was used so far is no longer valid.");
  return new Promise((resolve, reject) => {
    form.addEventListener("submit", async (submitted) => {
      submitted.preventDefault();
      submit.disabled = true;
      const key = input.value.trim();
      const wrong = await whyNot(key);
      submit.disabled = false;
      place.wrong(wrong);
      if (wrong) return input.focus();
      sessionStorage.setItem(PLACE, key);
      dialog.close();
      resolve();
      showWho().catch(() => {});
    });
    // Whoever has no key may look at nothing, and is asked again when something else is asked for.
    dialog.addEventListener("close", () => reject(new NoKey("This needs a key, and none was given.")));
  });
}

async function whyNot(key) {
  if (!/^[\x21-\x7e]+$/.test(key)) return "A key is one word of letters and digits.";
  try {
    const answer = await fetch("/api/me", { headers: bearer(key) });
    return answer.ok ? null : (await answer.json()).detail;
  } catch {
    return "The gateway does not answer. Try again soon.";
  }
}
