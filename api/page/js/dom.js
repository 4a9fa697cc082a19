// Making elements. Text only ever becomes text: ids and names come from devices, and may hold anything.

// h("p", {class: "muted", onclick: f}, "text", other) - what is null, undefined or false is left out.
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Puts new content in the place of old: the focus stays on the same link, and a list where it was scrolled to.
export function redraw(place, ...content) {
  const focused = place.contains(document.activeElement) ? document.activeElement : null;
  const before = place.querySelector(".scroll");
  const [top, left] = [before?.scrollTop ?? 0, before?.scrollLeft ?? 0];
  place.replaceChildren(...content);
  const after = place.querySelector(".scroll");
  if (after) [after.scrollTop, after.scrollLeft] = [top, left];
  if (!focused) return;
  const href = focused.getAttribute("href");
  const same = focused === before ? after : href && [...place.querySelectorAll("a")].find((link) => link.getAttribute("href") === href);
  same?.focus({ preventScroll: true });
}

// Sets a text where it has changed, so that a screen reader's place and a selection stay.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// A table with a caption for those who do not see the heading above it. Columns: {name, num, wide}; a row's first cell
// is its heading.
export function table(caption, columns, rows) {
  const style = (column) => [column.num && "num", column.wide && "wide"].filter(Boolean).join(" ") || null;
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col", class: style(column) }, column.name)))),
      h(
        "tbody",
        {},
        rows.map((cells) =>
          h("tr", {}, cells.map((cell, n) => n === 0
            ? h("th", { scope: "row", class: style(columns[n]) }, cell)
            : h("td", { class: style(columns[n]) }, cell))),
        ),
      ),
    ),
  );
}

let ids = 0;
export const newId = (what) => `${what}-${++ids}`;

// A field with its label, and room for what is wrong with it.
export function field(label, input, hint = null) {
  input.id = newId("field");
  const error = h("p", { class: "error", id: `${input.id}-error`, hidden: true });
  const words = hint ? h("p", { class: "muted small", id: `${input.id}-hint` }, hint) : null;
  const describe = [words?.id, error.id].filter(Boolean).join(" ");
  input.setAttribute("aria-describedby", describe);
  const element = h("div", { class: "field" }, h("label", { for: input.id }, label), input, words, error);
  element.wrong = (message) => {
    error.hidden = !message;
    say(error, message ?? "");
    if (message) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  return element;
}

// Says something to screen readers, for what the eye sees by itself.
export function announce(text) {
  document.getElementById("announce").textContent = text;
}
