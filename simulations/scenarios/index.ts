import { DEATHS } from './deaths.ts'
import { HOSTS } from './hosts.ts'
import { LIARS } from './liars.ts'
import { NIGHTLY } from './nightly.ts'
import { PATHS } from './paths.ts'
import { readScenario, type Scenario } from './schema.ts'
import { LONG_STORIES, STORIES } from './stories.ts'
import { toScenario } from './story.ts'

/** Every scenario that runs on each change. */
export const NAMED: readonly Scenario[] = [
  ...[...DEATHS, ...PATHS, ...HOSTS, ...LIARS].map(readScenario),
  ...[...STORIES, ...LONG_STORIES].map(toScenario),
]
/** The larger ones. */
export const LARGE: readonly Scenario[] = NIGHTLY.map(readScenario)
