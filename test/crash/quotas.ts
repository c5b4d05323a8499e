/**
 * Crash states that each campaign has to reach in a test run; the sum is what the project promises.
 * A campaign that shrinks below its quota fails, so that the promise cannot erode unseen.
 */
export const quotas = {
  singleWrites: 2500,
  largeBatches: 4500,
  mixedDurability: 3000,
  persistsUnderLoad: 3500,
  reopenings: 3000,
  creation: 500,
  killedThenCut: 2500,
  interruptedRecoveries: 3500,
  interruptedCreation: 7000
} as const

export const promisedStates = 20_000
