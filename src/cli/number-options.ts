import { usageError } from './cli-error.js'

/** A parser for commander: a whole number of at least `min`. */
export function wholeNumber(name: string, min: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= min) return value
    throw usageError(`${name} takes a whole number from ${min}, not ${JSON.stringify(text)}`)
  }
}

/** A parser for commander: a power of two of bytes. */
export function powerOfTwo(name: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    const isPower = /^\d+$/.test(text) && Number.isInteger(Math.log2(value))
    if (isPower && value >= min && value <= max) return value
    const given = JSON.stringify(text)
    throw usageError(`${name} takes a power of two from ${min} to ${max}, not ${given}`)
  }
}
