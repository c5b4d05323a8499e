import type { Durability, OpenOptions } from '../../dist/index.js'

export interface Commit {
  readonly durability: Durability
  readonly gte?: string
  readonly lt?: string
  readonly operations?: readonly object[]
}

export const options: OpenOptions
export function commitOf(seed: number, number: number): Commit
export function applyTo(entries: Map<string, Buffer>, commit: Commit): void
