// Asking the API. What goes wrong becomes an ApiError with a sentence that can be shown.

import { fetchAs, NoKey } from "./session.js";

export class ApiError extends Error {
  constructor(sentence, problem = {}) {
    super(sentence);
    this.status = problem.status ?? 0;
    this.fields = problem.errors ?? [];
  }
}

export const part = encodeURIComponent;

export async function get(path) {
  return (await ask(path)).json();
}

// A page of a list: its rows, and the path of the next page or null.
export async function getPage(path) {
  const answer = await ask(path);
  const next = /<([^>]+)>;\s*rel="next"/.exec(answer.headers.get("link") ?? "");
  return { rows: await answer.json(), next: next ? next[1] : null };
}

export async function send(method, path, body, headers = {}) {
  const answer = await ask(path, {
    method,
    headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return answer.status === 204 ? null : answer.json();
}

// Creating once: what is sent again unchanged, after an answer that never came, has the same key and is done once.
export class Once {
  #body = null;
  #key = null;
  async send(path, body) {
    const text = JSON.stringify(body);
    if (text !== this.#body) [this.#body, this.#key] = [text, newKey()];
    const answer = await send("POST", path, body, { "idempotency-key": this.#key });
    this.#body = null;
    return answer;
  }
}

// crypto.randomUUID is there on secure origins only, and an operator's page may be plain HTTP.
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetchAs(path, options);
  } catch (error) {
    if (error instanceof NoKey) throw new ApiError(error.message);
    throw new ApiError("The gateway does not answer. Check the connection; nothing was changed that is not shown here.");
  }
  if (answer.ok) return answer;
  let problem = { status: answer.status };
  try {
    problem = { ...problem, ...(await answer.json()) };
  } catch {
    // Whatever answered was not our API, a proxy for example.
  }
  throw new ApiError(sentence(problem), problem);
}

function sentence(problem) {
  const said = problem.detail ?? problem.title ?? `the gateway answered with ${problem.status}`;
  return said.charAt(0).toUpperCase() + said.slice(1) + (/[.!?]$/.test(said) ? "" : ".");
}
