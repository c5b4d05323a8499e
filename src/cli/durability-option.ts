/** Values of `--durability`, strongest first. */
export const durabilities = ['sync', 'os', 'memory'] as const
export type DurabilityName = (typeof durabilities)[number]
