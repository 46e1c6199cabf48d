/** Calls to the server: errors as sentences, a token where one is asked for, patience while the server is away. */

const ATTEMPTS = 3; // broken connections of one call while the server answers others
const PAUSES = [500, 1000, 2000, 4000]; // milliseconds between looks for a server that is gone

/** What the server refused, in its own sentence. */
export class Refusal extends Error {
  /** @param {string} sentence @param {number} status of HTTP */
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

/**
 * Makes the calls.
 *
 * @param {object} told
 * @param {(sentence: string) => void} told.connection told what keeps the server from answering, and "" when it does
 * @param {(refused: boolean) => Promise<string>} told.token asks for a token
 */
export function createApi({ connection, token }) {
  let bearer = sessionStorage.getItem("token") ?? "";
  let asking = null, waiting = null;

  /**
   * Calls the server until it answers.
   *
   * @param {string} path without a slash in front
   * @param {{body?: FormData|object, accept?: string, signal?: AbortSignal}} [options] a body makes it a POST
   * @returns {Promise<Response>} a good answer
   * @throws {Refusal}
   */
  async function call(path, { body, accept, signal } = {}) {
    for (let broken = 0; ; ) {
      const used = bearer;
      const response = await fetch(path, request(body, accept, signal)).catch((error) => {
        if (signal?.aborted) throw error;
        return null;
      });
      if (response === null) {
        broken += 1;
        if (broken > ATTEMPTS) throw new Refusal("The server breaks the connection: see what it says where it runs.", 0);
        waiting ??= untilReady(broken).finally(() => (waiting = null));
        await waiting;
      } else if (response.status === 401) {
        if (used === bearer) asking ??= token(used !== "").then(remember).finally(() => (asking = null));
        await asking;
      } else if (response.status === 503) {
        connection(`${await sentenceOf(response)} Trying again.`);
        await pause(1000 * (Number(response.headers.get("Retry-After")) || 1));
        connection("");
      } else if (response.ok) {
        return response;
      } else {
        throw new Refusal(await sentenceOf(response), response.status);
      }
      signal?.throwIfAborted();
    }
  }

  function request(body, accept, signal) {
    const headers = { ...(accept && { Accept: accept }), ...(bearer && { Authorization: `Bearer ${bearer}` }) };
    if (!body) return { headers, signal };
    if (body instanceof FormData) return { method: "POST", headers, body, signal };
    headers["Content-Type"] = "application/json";
    return { method: "POST", headers, body: JSON.stringify(body), signal };
  }

  function remember(given) {
    bearer = given;
    sessionStorage.setItem("token", given);
  }

  /** Waits until the server is there and its model loaded, and says so meanwhile. */
  async function untilReady(broken) {
    if (broken > 1) await pause(PAUSES[0]);
    for (let look = 0; ; look += 1) {
      const status = await fetch("readyz", { cache: "no-store" }).then((response) => response.status, () => 0);
      if (status && status !== 503) break;
      connection(status ? "The model is being loaded." : "The server does not answer. Trying again.");
      await pause(PAUSES[Math.min(look, PAUSES.length - 1)]);
    }
    connection("");
  }

  return {
    call,
    /** A call whose answer is JSON. */
    json: async (path, options) => (await call(path, options)).json(),
  };
}

/** What a refusing server says; a proxy in between may not speak JSON. */
async function sentenceOf(response) {
  const told = await response.json().catch(() => ({}));
  return typeof told.error === "string" ? told.error : `The server refused with status ${response.status}.`;
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
