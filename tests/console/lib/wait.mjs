// Patience: what has to become true is looked at again and again, and what does not is told.

/** The next `ms` milliseconds. */
export const pause = ms => new Promise(done => setTimeout(done, ms))

/** What no waiting mends. */
export class Hopeless extends Error {}

/**
 * Waits until `look` tells something other than `undefined`, `null` and `false`, and tells it.
 * @param {string} what for the failure, if it never does
 */
export async function eventually(what, look, patience = 20_000) {
  const until = Date.now() + patience
  let last
  for (;;) {
    try {
      const seen = await look()
      if (seen !== undefined && seen !== null && seen !== false) return seen
      last = undefined
    } catch (error) {
      if (error instanceof Hopeless) throw error
      last = error
    }
    if (Date.now() > until) {
      throw new Error(`not within ${patience / 1000} s: ${what}`, { cause: last })
    }
    await pause(50)
  }
}
