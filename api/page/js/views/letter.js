// One dead letter: why it did not count, what it says, and sending it again, corrected or as it is.

import { get, part, send } from "../api.js";
import { badge } from "../badges.js";
import { field, h, say } from "../dom.js";
import { number, time } from "../format.js";
import { attempt, needs, panel } from "./shared.js";

export function letterView(_feed, id) {
  const path = `/api/dead-letters/${part(id)}`;
  const problem = h("div");
  const body = h("div");
  const outcome = h("p", { role: "status" });
  const element = h("div", {}, h("div", { class: "head" }, h("h1", {}, "Dead letter"), h("span", { class: "id" }, id), h("div", { class: "end" }, h("a", { class: "button", href: "#/letters" }, "All dead letters"))), problem, outcome, body);

  async function load() {
    await attempt(problem, async () => draw(await get(path)));
  }

  function draw(letter) {
    const payload = h("textarea", { rows: 8, spellcheck: "false", class: "mono", value: pretty(letter.correctedPayload ?? letter.payload ?? "") });
    const source = letter.source;
    body.replaceChildren(
      h("div", { class: "columns even" },
        h("div", { class: "stack" },
          panel("Reason for rejection", facts([
            ["Reason", letter.reason],
            ["Detail", letter.detail],
            ["VEN", letter.venId ? h("a", { href: `#/vens/${part(letter.venId)}` }, letter.venId) : "–"],
            ["MQTT topic", letter.mqttTopic ?? "–"],
            ["Kafka position", `${letter.topic}${source.partition === null ? "" : `, partition ${source.partition}, offset ${number(source.offset)}`}`],
            ["Received", time(letter.receivedAt)],
            ["State", h("span", {}, badge(letter.state), letter.stateDetail ? ` ${letter.stateDetail}` : "")],
            ["Replays", number(letter.replays)],
          ])),
          needs("operator", panel("Send it again",
            h("form", { class: "stack", onsubmit: (event) => (event.preventDefault(), replay(letter, payload.value)) },
              field("What to send", payload, letter.payload === null ? "The payload is not text; it can only be replayed unchanged." : "Correct it here, or replay it unchanged if the cause is gone."),
              h("div", {}, h("button", { type: "submit", class: "primary" }, "Replay")))))),
        h("div", { class: "stack" },
          panel(`Payload, ${number(letter.size)} bytes`, h("pre", { tabindex: 0 }, letter.payload === null ? letter.payloadBase64 : pretty(letter.payload))),
          panel("Headers", h("pre", { tabindex: 0 }, JSON.stringify(letter.headers, null, 2))))),
    );
  }

  async function replay(letter, text) {
    say(outcome, "Sending it again …");
    outcome.className = "notice";
    try {
      const changed = letter.payload !== null && text !== pretty(letter.correctedPayload ?? letter.payload);
      const answer = await send("POST", `${path}/replay`, changed ? { payloadText: text } : undefined);
      await load();
      outcome.className = `notice ${{ stored: "good", already_stored: "good", rejected: "bad" }[answer.state] ?? ""}`;
      const words = { stored: "It is stored: it counts now.", already_stored: "It was stored already; nothing was stored twice.", rejected: `It was refused again: ${answer.stateDetail}` };
      say(outcome, words[answer.state] ?? "It is on its way; load this page again in a moment.");
    } catch (failed) {
      outcome.className = "notice bad";
      say(outcome, failed.message);
    }
  }

  load();
  return { element, title: "Dead letter", leave: () => {} };
}

const facts = (rows) => h("dl", { class: "facts" }, rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

// Laid out where it is JSON and says the same then; a number beyond a double would not.
function pretty(text) {
  try {
    const value = JSON.parse(text);
    const dense = text.replace(/"(?:[^"\\]|\\.)*"|\s+/g, (found) => (found.startsWith('"') ? found : ""));
    return JSON.stringify(value) === dense ? JSON.stringify(value, null, 2) : text;
  } catch {
    return text;
  }
}
