// What several views need: loading with a word while it lasts, and problems as a sentence.

import { h, say } from "../dom.js";
import { age } from "../format.js";

// Runs load(), and shows what went wrong above the rest. Returns whether it went well.
export async function attempt(place, load) {
  try {
    await load();
    place.replaceChildren();
    return true;
  } catch (problem) {
    place.replaceChildren(h("p", { class: "notice bad", role: "alert" }, problem.message));
    return false;
  }
}

// Calls work() at most every `ms`, however often it is asked to, and once more when it was asked meanwhile.
export function paced(ms, work) {
  let timer = null;
  let again = false;
  const run = async () => {
    timer = setTimeout(() => {
      timer = null;
      if (again) {
        again = false;
        run();
      }
    }, ms);
    await work();
  };
  const ask = () => (timer === null ? run() : (again = true));
  ask.stop = () => {
    clearTimeout(timer);
    timer = 0;
  };
  return ask;
}

export const since = (text) => h("span", { "data-since": text ?? "" }, age(text));

export function stat(label) {
  const value = h("span");
  const unit = h("span", { class: "unit" });
  const note = h("p", { class: "note" });
  const element = h("div", { class: "panel stat" }, h("p", { class: "label" }, label), h("p", { class: "value" }, value, unit), note);
  return {
    element,
    note,
    show(text, unitText = "", noteText = null) {
      say(value, text);
      say(unit, unitText);
      if (noteText !== null) say(note, noteText);
    },
  };
}

// Shows an element only to those whose role may use it.
export function needs(role, element) {
  element.dataset.needs = role;
  return element;
}

export function panel(title, ...content) {
  return h("section", { class: "panel" }, h("div", { class: "title" }, h("h2", {}, title)), ...content);
}
