// The button between dark and light. What is chosen stays; without a choice the page follows the system.

const root = document.documentElement;
const listeners = new Set();

export function onTheme(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function startTheme(button) {
  const show = (theme) => {
    root.dataset.theme = theme;
    const other = theme === "dark" ? "light" : "dark";
    button.textContent = other === "dark" ? "Dark" : "Light";
    button.setAttribute("aria-label", `Switch to ${other} colours`);
    for (const listener of listeners) listener();
  };
  button.addEventListener("click", () => {
    const theme = root.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem("theme", theme);
    show(theme);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (change) => {
    if (!localStorage.getItem("theme")) show(change.matches ? "dark" : "light");
  });
  show(root.dataset.theme);
}
