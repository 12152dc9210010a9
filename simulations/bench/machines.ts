import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Lab } from '../lab/lab.ts'

/* Two machines of the lab (network namespaces) joined by one cable, for measuring many short connections. */

/** Which machine: `near` is where users connect, `far` where the services are. */
export type Place = 'near' | 'far'
/** Addresses on the cable, and whatever else is bound: nothing of it is visible outside the namespaces. */
export const ADDRESSES: Readonly<Record<Place, string>> = { near: '10.99.0.1', far: '10.99.0.2' }
/** Short connections by the thousand: ports of closed ones are used again, and none of the ports we listen on is taken. */
const SETTINGS = [
  'echo "20000 65000" > /proc/sys/net/ipv4/ip_local_port_range',
  'echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse',
  'echo 8192 > /proc/sys/net/core/somaxconn',
].join(' && ')

/** Makes both machines; needs root. Closing the lab ends and removes everything. */
export async function twoMachines(): Promise<Lab> {
  const lab = new Lab({}) // `./kith` sets its own; nothing else gets it
  try {
    lab.machines('near', 'far')
    for (const place of ['near', 'far']) {
      const { code, stderr } = await lab.run(place, 'sh', ['-c', SETTINGS])
      if (code !== 0) throw new Error(`the settings of the ${place} machine: ${stderr}`)
    }
    lab.cable('near', ADDRESSES.near, 'far', ADDRESSES.far)
    return lab
  } catch (error) {
    await lab.close()
    throw error
  }
}

/** Arguments of the runtime for a Node program of the bench, with the flags `./kith` starts with where it is compared with that. */
export function nodeArguments(script: string, flags: readonly string[], args: readonly string[]): string[] {
  return [...flags, join(import.meta.dirname, script), ...args]
}

/** A file another process writes under another name and then renames; undefined until it is there. */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
