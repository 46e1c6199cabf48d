/** Calls to the server: errors as sentences, a token where one is asked for, patience while the server is away. */

import { remember, remembered } from "./memory.js";

const ATTEMPTS = 3; // broken connections of one call while the server answers others
const PAUSES = [500, 1000, 2000, 4000]; // milliseconds between looks for a server that is gone
const LONGEST_BUSY = 30_000; // milliseconds that a call insists while the server has too much to do

/** What the server refused, in its own sentence; or the page, before it asked. */
export class Refusal extends Error {
  /** @param {string} sentence @param {number} [status] of HTTP */
  constructor(sentence, status = 0) {
    super(sentence);
    this.status = status;
  }
}

/** What people are told of an error. Those that are no refusals are faults; the console has them. @returns {string} */
export function told(error) {
  if (error instanceof Refusal) return error.message;
  console.error(error);
  return "The page could not show the answer: reload it.";
}

/**
 * Makes the calls.
 *
 * @param {object} told
 * @param {(sentence: string) => void} told.connection told what keeps the server from answering, and "" when it does
 * @param {(refused: boolean) => Promise<string>} told.token asks for a token
 */
export function createApi({ connection, token }) {
  let bearer = remembered("token") ?? "";
  let asking = null, waiting = null;

  /**
   * Calls the server until it answers; a busy one for a while.
   *
   * @param {string} path without a slash in front
   * @param {{body?: FormData|object, accept?: string, signal?: AbortSignal}} [options] a body makes it a POST
   * @returns {Promise<Response>} a good answer
   * @throws {Refusal}
   */
  async function call(path, { body, accept, signal } = {}) {
    let began = performance.now(), isBusy = false;
    for (let broken = 0; ; ) {
      const used = bearer;
      const response = await fetch(path, request(body, accept, signal)).catch((error) => {
        if (signal?.aborted) throw error;
        return null;
      }).finally(() => isBusy && connection(""));
      isBusy = false;
      if (response === null) {
        broken += 1;
        if (broken > ATTEMPTS) throw new Refusal("The server breaks the connection: see what it says where it runs.");
        await untilReady(broken);
        began = performance.now();
      } else if (response.status === 401) {
        if (used === bearer) asking ??= token(used !== "").then(keep).finally(() => (asking = null));
        await asking;
      } else if (response.status === 503) {
        const sentence = await sentenceOf(response), wait = 1000 * (Number(response.headers.get("Retry-After")) || 1);
        if (!(await untilReady())) began = performance.now(); // a model is loaded as long as that takes
        else if (performance.now() + wait - began > LONGEST_BUSY) throw new Refusal(sentence, response.status);
        else {
          isBusy = true;
          connection(`${sentence} Trying again.`);
          await pause(wait);
        }
      } else if (response.ok) {
        return response;
      } else {
        throw new Refusal(await sentenceOf(response), response.status);
      }
    }
  }

  function request(body, accept, signal) {
    const headers = { ...(accept && { Accept: accept }), ...(bearer && { Authorization: `Bearer ${bearer}` }) };
    if (!body) return { headers, signal };
    if (body instanceof FormData) return { method: "POST", headers, body, signal };
    headers["Content-Type"] = "application/json";
    return { method: "POST", headers, body: JSON.stringify(body), signal };
  }

  function keep(given) {
    bearer = given;
    remember("token", given);
  }

  /** Waits until the server is there and its model loaded, and says so meanwhile. @returns {Promise<boolean>} if it was */
  function untilReady(broken = 0) {
    return (waiting ??= look(broken).finally(() => (waiting = null)));
  }

  async function look(broken) {
    if (broken > 1) await pause(PAUSES[0]);
    for (let looks = 0; ; looks += 1) {
      const response = await fetch("readyz", { cache: "no-store" }).catch(() => null);
      if (response && response.status !== 503) {
        if (looks > 0) connection("");
        return looks === 0;
      }
      connection(response ? await sentenceOf(response) : "The server does not answer. Trying again.");
      await pause(PAUSES[Math.min(looks, PAUSES.length - 1)]);
    }
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
