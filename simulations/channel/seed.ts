import type { Random } from '../../protocols/common/ports.ts'

/** Repeatable choices of one run. */
export interface Choices extends Random {
  /** From 0 up to, not including, 1. */
  fraction(): number
  /** A whole number from `least` to `most`. */
  between(least: number, most: number): number
  /** True in `part` of all cases. */
  chance(part: number): boolean
  pick<T>(options: readonly T[]): T
}

/** Choices that depend on `seed` alone: xoshiro128** seeded by an FNV-1a hash. Fast; not for keys anybody relies on. */
export function choicesOf(seed: string): Choices {
  let hash = 0x811c9dc5
  const word = (): number => {
    hash = Math.imul(hash ^ 0x9e, 0x01000193)
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
    return (hash ^ (hash >>> 13)) >>> 0
  }
  for (const letter of seed) hash = Math.imul(hash ^ (letter.codePointAt(0) ?? 0), 0x01000193)
  let [a, b, c, d] = [word(), word(), word(), word()]
  const next = (): number => {
    const spun = Math.imul(b, 5)
    const result = Math.imul((spun << 7) | (spun >>> 25), 9)
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = (d << 11) | (d >>> 21)
    return result >>> 0
  }
  const fraction = (): number => next() / 2 ** 32
  return {
    fraction,
    between: (least, most) => least + Math.floor(fraction() * (most - least + 1)),
    chance: (part) => fraction() < part,
    pick: (options) => options[Math.floor(fraction() * options.length)] as (typeof options)[number],
    bytes: (length) => Uint8Array.from({ length }, () => next() & 0xff),
  }
}
