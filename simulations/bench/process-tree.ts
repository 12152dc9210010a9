import { readdirSync, readFileSync } from 'node:fs'

/* CPU time and memory of processes with all their descendants, from proc(5). Processes that end meanwhile count as nothing. */

/** Clock ticks per second in /proc/PID/stat: USER_HZ, 100 on every architecture Node runs on. */
const TICKS_PER_SECOND = 100
/** Fields behind the command name: state, ppid, … utime, stime, cutime, cstime (proc(5), fields 3, 4, 14 to 17). */
const PARENT_FIELD = 1
const CPU_FIELDS = [11, 12, 13, 14]

/** Memory in bytes: resident, and with shared pages divided among those that share them. */
export interface Memory {
  readonly residentBytes: number
  readonly proportionalBytes: number
}

/** CPU seconds, user and system, of these processes, their descendants, and descendants that ended and were waited for. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0
  for (const pid of withDescendants(pids)) {
    const stat = statFields(pid)
    if (stat !== undefined) for (const field of CPU_FIELDS) ticks += Number(stat[field])
  }
  return ticks / TICKS_PER_SECOND
}

/** Memory of these processes and their descendants. */
export function memory(pids: readonly number[]): Memory {
  let residentBytes = 0
  let proportionalBytes = 0
  for (const pid of withDescendants(pids)) {
    const rollup = readProc(`${pid}/smaps_rollup`)
    residentBytes += kilobytes(rollup, 'Rss') * 1024
    proportionalBytes += kilobytes(rollup, 'Pss') * 1024
  }
  return { residentBytes, proportionalBytes }
}

function withDescendants(pids: readonly number[]): number[] {
  const children = new Map<number, number[]>()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const parent = Number(statFields(Number(entry))?.[PARENT_FIELD])
    children.set(parent, [...(children.get(parent) ?? []), Number(entry)])
  }
  const all = [...pids]
  for (const pid of all) all.push(...(children.get(pid) ?? []))
  return all
}

function statFields(pid: number): string[] | undefined {
  const stat = readProc(`${pid}/stat`)
  return stat === '' ? undefined : stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}

function kilobytes(text: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0)
}

/** Empty when the process is gone, or is a thread of the kernel. */
function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES') return ''
    throw error
  }
}
