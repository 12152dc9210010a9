import { spawn } from 'node:child_process'
import { join } from 'node:path'
import test from 'ava'
import { start, until, type Fixture } from '../http/fixture.ts'

/** Runs a verb of `kith` as a process of its own against the node of the fixture. */
async function kith(
  { directory }: Fixture,
  args: readonly string[],
  onOutput?: (text: string, stop: () => void) => void,
): Promise<{ status: number | null; out: string; errors: string }> {
  const main = join(import.meta.dirname, '..', '..', '..', 'node', 'main.ts')
  const child = spawn(process.execPath, [main, ...args], {
    env: { ...process.env, NO_COLOR: '1', KITH_DATA: directory },
  })
  let out = ''
  let errors = ''
  child.stdout.on('data', (chunk) => {
    out += String(chunk)
    onOutput?.(out, () => child.kill('SIGINT'))
  })
  child.stderr.on('data', (chunk) => (errors += String(chunk)))
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { status, out, errors }
}

test('peers show their keys, as a table and as JSON', async (t) => {
  await using node = await start()
  const [text, json] = await Promise.all([kith(node, ['peers']), kith(node, ['peers', '--json'])])
  const rows = text.out.trimEnd().split('\n')
  t.regex(rows[0]!, /EPOCH +KEY AGE +ROTATION/)
  t.regex(rows[1]!, /^attic +alive +direct +1\.4 ms +12 +5 min +active +/)
  t.regex(rows[3]!, /^backup-box .* 12 +5 min +failed, 3 failures +/)
  t.regex(rows[4]!, / - +- +- +/)
  const peers = JSON.parse(json.out) as Record<string, unknown>[]
  t.like(peers[0], { epoch: 12, keyAgeMs: 340_000, rotation: { state: 'active', failures: 0 } })
  t.like(peers[3], { epoch: null, keyAgeMs: null, rotation: null })
})

test('rotate says what it started, and why it did not', async (t) => {
  await using node = await start()
  const one = await kith(node, ['rotate', 'attic'])
  t.deepEqual([one.status, one.out], [0, 'attic: rotating the keys of epoch 12\n'])
  const all = await kith(node, ['rotate', '--json'])
  t.like((JSON.parse(all.out) as { peers: object[] }).peers[0], { name: 'attic', epoch: 12, started: false })
  const [unknown, usage] = await Promise.all([
    kith(node, ['rotate', 'nobody']),
    kith(node, ['rotate', 'a', 'b']),
  ])
  t.is(unknown.status, 1)
  t.regex(unknown.errors, /\[peer-unknown\]/)
  t.is(usage.status, 2)
  node.control.peersNow = []
  const nobody = await kith(node, ['rotate'])
  t.deepEqual(
    [nobody.status, nobody.out],
    [0, 'No peer is connected; the next connection starts with fresh keys.\n'],
  )
})

test('events are filtered, and followed with the filter', async (t) => {
  await using node = await start()
  const [some, wrong, stranger] = await Promise.all([
    kith(node, [
      'events',
      '--kind',
      'rotation',
      '--peer',
      'attic',
      '--severity',
      'info',
      '--since',
      '1',
      '--json',
    ]),
    kith(node, ['events', '--since', 'x']),
    kith(node, ['events', '-f', '--peer', 'nobody']),
  ])
  t.deepEqual(
    (JSON.parse(some.out) as { id: number }[]).map(({ id }) => id),
    [3],
  )
  t.is(wrong.status, 2)
  t.is(stranger.status, 1)
  t.regex(stranger.errors, /\[peer-unknown\]/)
  const listeners = node.control.eventListeners.size
  const tail = kith(node, ['events', '-f', '--kind', 'rotation', '--json'], (text, stop) => {
    if (text.includes('rotation.glare')) stop()
  })
  await until(() => node.control.eventListeners.size > listeners)
  node.control.emit({ kind: 'node.other', severity: 'alert' })
  node.control.emit({ kind: 'rotation.glare', severity: 'info', fields: { won: true } })
  const { out, status } = await tail
  t.is(status, 0)
  t.deepEqual(
    out
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { kind: string }).kind),
    ['rotation.done', 'rotation.glare'],
  )
})

test('help and completion know the verbs and their options', async (t) => {
  await using node = await start()
  const [help, completion] = await Promise.all([
    kith(node, ['events', '--help']),
    kith(node, ['complete', '--', 'rot']),
  ])
  for (const option of ['--follow', '--since', '--before', '--severity', '--kind', '--peer', '--limit'])
    t.true(help.out.includes(option), option)
  t.regex(completion.out, /rotate/)
})
