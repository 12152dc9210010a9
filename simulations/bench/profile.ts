import { mkdirSync, renameSync, rmSync } from 'node:fs'
import type { Profiler } from 'node:inspector'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { until } from '../lab/program.ts'
import { readIfThere } from './machines.ts'

/** Time for the profiler to be running in the other process. */
const START_MS = 300
const TOP_COUNT = 14
const DIRECTORY = join(import.meta.dirname, '..', '..', '.cache', 'profiles')

/** What native functions without a file belong to, by name; others belong with what called them. */
const NATIVE_GROUPS: Readonly<Record<string, string>> = {
  '(garbage collector)': 'gc',
  '(idle)': 'idle',
  '(program)': 'runtime',
  writev: 'socket write',
  writeBuffer: 'socket write',
  readStart: 'socket read',
  readStop: 'socket read',
}
/** What functions belong to, by their file; the first match counts. */
const FILE_GROUPS: readonly (readonly [RegExp, string])[] = [
  [/^node:inspector/, 'idle'], // the profiler itself
  [/^node:(internal\/)?crypto|\/protocols\/noise-ik\//, 'crypto'],
  [/^node:(net|_?stream|internal\/streams|internal\/stream_base_commons)/, 'socket read'],
  [/\/protocols\/record\//, 'record'],
  [/\/protocols\/secure-channel\//, 'secure channel'],
  [/\/protocols\/mux\/|\/node_modules\/@(libp2p|chainsafe)\/(libp2p-)?yamux\//, 'mux'],
  [/\/protocols\/tunnel\//, 'tunnel'],
  [/\/node_modules\/(@libp2p|libp2p|it-[^/]+|uint8array[^/]+|@multiformats|multiformats)\//, 'libp2p'],
  [/\/(node|bootstrap|protocols)\/[^:]*\.ts$/, 'kith'],
  [/^node:/, 'node core'],
]

/** Self time by function and by group. */
export interface ProfileSummary {
  readonly seconds: number
  /** Share of the time the thread did anything. */
  readonly busy: number
  /** Shares of the busy time, largest first. */
  readonly groups: readonly (readonly [group: string, share: number])[]
  readonly functions: readonly { readonly name: string; readonly group: string; readonly share: number }[]
}

/** Sums a CPU profile up; what a native function did is put to the account of what called it. */
export function summarize(profile: Profiler.Profile): ProfileSummary {
  const selfUs = new Map<number, number>()
  for (const [index, id] of (profile.samples ?? []).entries())
    selfUs.set(id, (selfUs.get(id) ?? 0) + (profile.timeDeltas?.[index] ?? 0))
  const groups = new Map<string, number>()
  const functions = new Map<string, { name: string; group: string; us: number }>()
  const visit = (node: Profiler.ProfileNode, callerGroup: string): void => {
    const group = groupOf(node.callFrame, callerGroup)
    const us = selfUs.get(node.id) ?? 0
    if (us > 0) {
      groups.set(group, (groups.get(group) ?? 0) + us)
      const name = nameOf(node.callFrame)
      const entry = functions.get(`${group} ${name}`) ?? { name, group, us: 0 }
      functions.set(`${group} ${name}`, entry)
      entry.us += us
    }
    for (const child of node.children ?? []) {
      const next = byId.get(child)
      if (next !== undefined) visit(next, group)
    }
  }
  const byId = new Map(profile.nodes.map((node) => [node.id, node]))
  const [top] = profile.nodes
  if (top !== undefined) visit(top, 'other')
  const totalUs = groups.values().reduce((sum, us) => sum + us, 0)
  const busyUs = totalUs - (groups.get('idle') ?? 0)
  groups.delete('idle')
  const byShare = (us: number): number => us / busyUs
  return {
    seconds: totalUs / 1e6,
    busy: busyUs / totalUs,
    groups: [...groups]
      .map(([group, us]) => [group, byShare(us)] as const)
      .sort(([, one], [, other]) => other - one),
    functions: [...functions.values()]
      .filter(({ group }) => group !== 'idle')
      .sort((one, other) => other.us - one.us)
      .slice(0, TOP_COUNT)
      .map(({ name, group, us }) => ({ name, group, share: byShare(us) })),
  }
}

/** The summary for people. */
export function renderSummary(title: string, summary: ProfileSummary): string {
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`
  const groups = summary.groups.map(([group, share]) => `${group} ${percent(share)}`).join(', ')
  const lines = summary.functions.map(
    ({ name, group, share }) => `  ${percent(share).padStart(7)}  ${group.padEnd(14)}  ${name}`,
  )
  return [
    `${title}: busy ${percent(summary.busy)} of ${summary.seconds.toFixed(1)} s: ${groups}`,
    ...lines,
  ].join('\n')
}

/** Processes that were started with `env`, and what profiles of them showed. */
export class ProfiledProcesses {
  /** Loads the profiler into a Node process. */
  readonly env: Readonly<Record<string, string>>
  /** Printed summaries, one per load and process. */
  readonly summaries: string[] = []
  readonly #directory: string

  /** @param name a folder of this name is emptied and then holds the profiles */
  constructor(name: string) {
    this.#directory = join(DIRECTORY, name)
    rmSync(this.#directory, { recursive: true, force: true })
    mkdirSync(this.#directory, { recursive: true })
    const hook = pathToFileURL(join(import.meta.dirname, 'profile-hook.ts')).href
    this.env = { NODE_OPTIONS: `--import=${hook}`, BENCH_PROFILES: this.#directory }
  }

  /** Runs a load with the profiler on in these processes (pid by name). */
  async profile(
    load: string,
    processes: Readonly<Record<string, number>>,
    run: () => Promise<unknown>,
  ): Promise<void> {
    for (const pid of Object.values(processes)) process.kill(pid, 'SIGUSR2')
    await sleep(START_MS)
    await run()
    for (const pid of Object.values(processes)) process.kill(pid, 'SIGUSR2')
    for (const [name, pid] of Object.entries(processes)) {
      const written = join(this.#directory, `${pid}.cpuprofile`)
      const profile = await until(`the profile of ${name}`, () => readIfThere(written))
      const kept = join(this.#directory, `${load}-${name}.cpuprofile`)
      renameSync(written, kept)
      const summary = summarize(JSON.parse(profile) as Profiler.Profile)
      this.summaries.push(`${renderSummary(`${load}, ${name}`, summary)}\n  ${kept}`)
    }
  }
}

function groupOf({ functionName, url }: { functionName: string; url: string }, callerGroup: string): string {
  if (url === '') return NATIVE_GROUPS[functionName] ?? callerGroup
  return FILE_GROUPS.find(([pattern]) => pattern.test(url))?.[1] ?? 'other'
}

function nameOf({ functionName, url, lineNumber }: Profiler.ProfileNode['callFrame']): string {
  const name = functionName === '' ? '(anonymous)' : functionName
  const file = url.replace(/^.*\/(node_modules|protocols|node|bootstrap|simulations)\//, '$1/')
  return url === '' ? name : `${name} ${file}:${lineNumber + 1}`
}
