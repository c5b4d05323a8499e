import { usageError } from './cli-error.js'

/** A parser for commander: a whole number of at least `min`. */
export function wholeNumber(name: string, min: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= min) return value
    throw usageError(`${name} takes a whole number from ${min}, not ${JSON.stringify(text)}`)
  }
}
