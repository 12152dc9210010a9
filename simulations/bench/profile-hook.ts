import { renameSync, writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'

/*
 * Loaded into a process with `--import`: SIGUSR2 starts the CPU profiler, the next SIGUSR2 stops it and writes
 * $BENCH_PROFILES/PID.cpuprofile. So one process gives a profile per load, without its start-up.
 */

const SAMPLING_INTERVAL_US = 500

let session: Session | undefined
const file = `${process.env['BENCH_PROFILES']}/${process.pid}.cpuprofile`

async function toggle(): Promise<void> {
  if (session === undefined) {
    session = new Session()
    session.connect()
    await session.post('Profiler.enable')
    await session.post('Profiler.setSamplingInterval', { interval: SAMPLING_INTERVAL_US })
    await session.post('Profiler.start')
    return
  }
  const { profile } = await session.post('Profiler.stop')
  session.disconnect()
  session = undefined
  writeFileSync(`${file}.part`, JSON.stringify(profile))
  renameSync(`${file}.part`, file)
}

process.on('SIGUSR2', () => void toggle())
