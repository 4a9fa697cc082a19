// The feed, read with fetch: unlike EventSource it can come back with Last-Event-ID after any failure, and notices when
// a connection has died without a word.

import { fetchAs } from "./session.js";

const SILENT_MS = 40_000; // the server sends something at least every 15 s
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

export class Feed extends EventTarget {
  #lastId = null;
  #pause = FIRST_PAUSE_MS;
  #listeners = new Map();
  state = "connecting";
  lastHeard = null;

  // Calls listener(data) for each item of a type; returns what ends that.
  on(type, listener) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    this.#listeners.get(type).add(listener);
    return () => this.#listeners.get(type).delete(listener);
  }

  async run() {
    for (;;) {
      try {
        await this.#follow();
      } catch {
        // The server is away, or cut us off: come back.
      }
      this.#become("stale");
      await new Promise((resolve) => setTimeout(resolve, this.#pause * (0.5 + Math.random() / 2)));
      this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
    }
  }

  async #follow() {
    const controller = new AbortController();
    let timer = setTimeout(() => controller.abort(), SILENT_MS);
    try {
      const headers = { accept: "text/event-stream", ...(this.#lastId ? { "last-event-id": this.#lastId } : {}) };
      const answer = await fetchAs("/api/feed", { headers, signal: controller.signal });
      if (!answer.ok) throw new Error(`the feed answered with ${answer.status}`);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(() => controller.abort(), SILENT_MS);
        this.lastHeard = Date.now();
        this.#pause = FIRST_PAUSE_MS;
        this.#become("live");
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop();
        for (const block of blocks) this.#take(block);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #take(block) {
    const fields = {};
    for (const line of block.split("\n")) {
      const colon = line.indexOf(":");
      if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
    }
    if (fields.id) this.#lastId = fields.id;
    if (!fields.event) return;
    const data = JSON.parse(fields.data);
    for (const listener of this.#listeners.get(fields.event) ?? []) {
      try {
        listener(data);
      } catch (error) {
        // A mistake in one view is no reason to lose the connection, and what the others would have been told.
        reportError(error);
      }
    }
  }

  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}
