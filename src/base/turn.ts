/** Lets the event loop go on. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
