import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { loadKeyFile } from '../../../node/storage/identity.ts'
import { openStore } from '../../../node/storage/store.ts'
import { temporaryFolder } from '../../temporary-folder.ts'

const codeOf = (error: unknown): string | undefined => (error as { code?: string }).code

test('an identity is made once, readable by its owner only, and read back the same', async (t) => {
  const directory = temporaryFolder()
  const made = await loadKeyFile(directory, 'identity.key', true)
  const read = await loadKeyFile(directory, 'identity.key', true)
  t.true(made.created)
  t.false(read.created)
  t.deepEqual(read.seed, made.seed)
  t.is(made.seed.length, 32)
  t.is(statSync(join(directory, 'identity.key')).mode & 0o777, 0o600)
})

test('openssl reads the identity file and finds the same key', async (t) => {
  const directory = temporaryFolder()
  const { seed } = await loadKeyFile(directory, 'identity.key', true)
  const text = execFileSync('openssl', ['pkey', '-in', join(directory, 'identity.key'), '-noout', '-text'], {
    encoding: 'utf8',
  })
  const hex = /priv:\s+([0-9a-f:\s]+)pub:/.exec(text)?.[1]?.replaceAll(/[\s:]/g, '')
  t.is(hex, Buffer.from(seed).toString('hex'))
})

const damaged: [title: string, content: string][] = [
  ['an empty file', ''],
  ['text that is no key', 'hello'],
  ['a cut key', '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEI\n-----END PRIVATE KEY-----\n'],
  [
    'a key of another kind',
    generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }),
  ],
]
for (const [title, content] of damaged) {
  test(`${title} is refused as an identity and left as it is`, async (t) => {
    const directory = temporaryFolder()
    const file = join(directory, 'identity.key')
    writeFileSync(file, content)
    const error = await t.throwsAsync(loadKeyFile(directory, 'identity.key', true))
    t.is(codeOf(error), 'identity-corrupt')
    t.is(readFileSync(file, 'utf8'), content)
  })
}

test('a missing identity is not silently replaced where one must exist', async (t) => {
  t.is(codeOf(await t.throwsAsync(loadKeyFile(temporaryFolder(), 'identity.key', false))), 'identity-missing')
})

test('a store keeps pairs in order and gives back a prefix', async (t) => {
  const store = await openStore(temporaryFolder())
  for (const key of ['b/2', 'a/1', 'b/1', 'c']) await store.put(key, Buffer.from(key), { sync: true })
  await store.delete('c')
  const rows = await Array.fromAsync(store.entries('b/'))
  t.deepEqual(
    rows.map(([key, value]) => [key, Buffer.from(value).toString()]),
    [
      ['b/1', 'b/1'],
      ['b/2', 'b/2'],
    ],
  )
  t.is(await store.get('c'), undefined)
  await store.close()
})

test('a second node on the same directory is refused, and may open it once the first is gone', async (t) => {
  const directory = temporaryFolder()
  const first = await openStore(directory)
  t.is(codeOf(await t.throwsAsync(openStore(directory))), 'data-locked')
  await first.close()
  const second = await openStore(directory)
  await second.close()
})

test('a data directory that cannot be made is one clear sentence', async (t) => {
  const file = join(temporaryFolder(), 'file')
  writeFileSync(file, '')
  const error = await t.throwsAsync(openStore(join(file, 'inside')))
  t.is(codeOf(error), 'data-unusable')
  t.regex(error?.message ?? '', /Cannot create/)
})
