import type { Scenario } from '../scenarios/schema.ts'
import type { Measures } from './measures.ts'

/** Every bound of the scenario that its measures break, as sentences. */
export function brokenBudgets({ budget }: Scenario, measures: Measures): string[] {
  const broken: string[] = []
  for (const name of Object.keys(budget) as (keyof typeof budget)[]) {
    const max = budget[name]
    const measured = measures[name]
    if (max === null) continue
    if (measured === null) broken.push(`${name} was never reached, the budget is ${max}`)
    else if (measured > max) broken.push(`${name} is ${measured}, the budget is ${max}`)
  }
  return broken
}
