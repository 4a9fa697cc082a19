// Numbers and times as people read them. Times are shown in the reader's zone.

const numbers = new Map();
export function number(value, digits = 0) {
  if (value === null || value === undefined) return "–";
  if (!numbers.has(digits)) {
    numbers.set(digits, new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  }
  // Never "-0.0".
  return numbers.get(digits).format(value).replace(/^-(0(\.0+)?)$/, "$1");
}

export const kw = (value) => (value === null || value === undefined ? "–" : `${number(value, Math.abs(value) < 1000 ? 1 : 0)} kW`);

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const shortClock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const dayOfYear = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

export function time(text) {
  if (!text) return "–";
  const moment = new Date(text);
  return moment.toDateString() === new Date().toDateString() ? clock.format(moment) : `${day.format(moment)}, ${shortClock.format(moment)}`;
}

// Seconds where it is short, the day where it is not today, the year where it is not this one.
export function span(start, end) {
  const [first, last, now] = [new Date(start), new Date(end), new Date()];
  const time = last - first < 120000 ? clock : shortClock;
  const on = (moment) => `${(moment.getFullYear() === now.getFullYear() ? day : dayOfYear).format(moment)}, `;
  const same = first.toDateString() === last.toDateString();
  const today = first.toDateString() === now.toDateString();
  return `${today ? "" : on(first)}${time.format(first)} – ${same ? "" : on(last)}${time.format(last)}`;
}

export function age(text, now = Date.now()) {
  if (!text) return "never";
  const seconds = Math.max(0, (now - new Date(text)) / 1000);
  if (seconds < 1.5) return "just now";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

export const milliseconds = (ms) => (ms === null || ms === undefined ? "–" : ms < 10000 ? `${number(ms)} ms` : `${number(ms / 1000, 1)} s`);
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
