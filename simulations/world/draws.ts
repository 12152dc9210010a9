import { choicesOf, type Choices } from '../channel/seed.ts'

/**
 * Chance, split: every use has a stream of its own, named by what it is for and whom it is about, so that a fault taken away
 * shifts no other draw. Without it a failing run could not be made smaller.
 */
export function stream(seed: string, label: string, who: string | number = ''): Choices {
  return choicesOf(`${seed}/${label}/${who}`)
}

/** `count` of `options`, drawn without putting back, in the order of `options`. */
export function sample<T>(choices: Choices, options: readonly T[], count: number): T[] {
  const left = options.map((_, i) => i)
  const taken: number[] = []
  while (taken.length < count && left.length > 0) {
    const [index] = left.splice(choices.between(0, left.length - 1), 1)
    if (index !== undefined) taken.push(index)
  }
  return taken.sort((a, b) => a - b).map((i) => options[i] as T)
}
