// The page: which view is shown, the one feed that all of them listen to, and whether it lives.

import { announce, h, say } from "./dom.js";
import { Feed } from "./feed.js";
import { age, time } from "./format.js";
import { showWho, startSession } from "./session.js";
import { startTheme } from "./theme.js";
import { eventView } from "./views/event.js";
import { eventsView } from "./views/events.js";
import { fleetView } from "./views/fleet.js";
import { letterView } from "./views/letter.js";
import { lettersView } from "./views/letters.js";
import { venView } from "./views/ven.js";
import { vensView } from "./views/vens.js";

const VIEWS = { "": ["fleet", fleetView], events: ["events", eventsView, eventView], vens: ["vens", vensView, venView], letters: ["letters", lettersView, letterView] };

const main = document.getElementById("main");
const feed = new Feed();
let leave = () => {};

// A view gets (feed, id) and returns {element, title, leave}. It may load what it shows after it is shown.
function show(first = false) {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const [view, list, detail] = VIEWS[name] ?? VIEWS[""];
  const id = rest.length ? decoded(rest.join("/")) : null;
  leave();
  const shown = id && detail ? detail(feed, id) : list(feed);
  leave = shown.leave;
  main.replaceChildren(shown.element);
  document.title = `${shown.title} · Grid-Event Gateway`;
  for (const link of document.querySelectorAll(".views a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!first) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

// An address may have been typed, or cut off: what is no escape is taken as it is.
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function showState() {
  const place = document.getElementById("live");
  place.dataset.state = feed.state;
  const since = feed.lastHeard ? `Stale since ${time(feed.lastHeard)}` : "No live data yet";
  say(document.getElementById("live-words"), { live: "Live", connecting: "Connecting …", stale: since }[feed.state]);
}

let wasStale = false;
feed.addEventListener("state", () => {
  showState();
  if (feed.state === "stale") announce("The live data have stopped; the page tries to get them back.");
  else if (wasStale) announce("Live again.");
  // The API may have been away when the page began.
  if (wasStale && feed.state === "live") showWho().catch(() => {});
  wasStale = feed.state === "stale";
});
// What was missed for too long is read anew.
feed.on("reset", () => show(true));

// Ages grow by themselves.
setInterval(() => {
  for (const element of document.querySelectorAll("[data-since]")) say(element, age(element.dataset.since));
}, 1000);

startSession(document.getElementById("sign-out"));
startTheme(document.getElementById("theme"));
addEventListener("hashchange", () => show());
addEventListener("error", () => announce("Something on this page went wrong; load it again."));
show(true);
showState();
showWho().catch(() => {});
feed.run();

// Modules load in parallel: a missing one would leave an empty page.
if (!main.firstChild) main.append(h("p", { class: "notice bad" }, "The page could not be drawn; load it again."));
