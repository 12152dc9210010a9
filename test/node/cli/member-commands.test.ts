import { spawn } from 'node:child_process'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { writeRequest } from '../../../protocols/admission/ceremony.ts'
import { makeRoot } from '../../../protocols/admission/root.ts'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import { start, type Fixture } from '../http/fixture.ts'

/** Runs a verb of `kith` as a process of its own against the node of the fixture. */
async function kith({ directory }: Fixture, ...args: readonly string[]) {
  const main = join(import.meta.dirname, '..', '..', '..', 'node', 'main.ts')
  const child = spawn(process.execPath, [main, ...args], {
    env: { ...process.env, NO_COLOR: '1', KITH_DATA: directory },
  })
  let out = ''
  let errors = ''
  child.stdout.on('data', (chunk) => (out += String(chunk)))
  child.stderr.on('data', (chunk) => (errors += String(chunk)))
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { status, out, errors }
}

test('members are a table for people and a document for programs', async (t) => {
  await using node = await start()
  const [text, json] = await Promise.all([kith(node, 'members'), kith(node, 'members', '--json')])
  const rows = text.out.trimEnd().split('\n')
  t.regex(rows[0] ?? '', /^NAME +STATE +ROLES +TAGS +AUTHORITY +CERTIFICATE ENDS +NOTE +ID$/)
  t.regex(rows[1] ?? '', /^attic +alive +relay +web +admit,revoke +in 10 d +- +12D3/)
  t.regex(rows[2] ?? '', /^here \(this node\) +alive /)
  t.regex(rows[4] ?? '', /^guest +pending +- +- +- +- +waits 1 min +12D3/)
  t.like((JSON.parse(json.out) as object[])[0], { name: 'attic', state: 'alive', revoked: null })
})

test('revoke and approve say what they did, and why they did not', async (t) => {
  await using node = await start()
  const revoked = await kith(node, 'revoke', 'phone', '--reason', 'lost')
  t.deepEqual([revoked.status, revoked.out], [0, 'phone is revoked; every member cuts it off\n'])
  t.deepEqual(node.control.calls.at(-1), ['revoke', { peer: 'phone', reason: 'lost' }])
  const [again, authority, self, unknown, noisy, bare] = await Promise.all([
    kith(node, 'revoke', 'phone', '--json'),
    kith(node, 'revoke', 'attic'),
    kith(node, 'revoke', 'here'),
    kith(node, 'revoke', 'nobody'),
    kith(node, 'revoke', 'phone', '--reason', 'é'.repeat(101)),
    kith(node, 'revoke'),
  ])
  t.like(JSON.parse(again.out), { name: 'phone', added: false, authority: false })
  t.regex(authority.out, /is an authority.*kith authority retire attic/)
  t.is(self.status, 1)
  t.regex(self.errors, /\[revoke-self\]/)
  t.regex(unknown.errors, /\[peer-unknown\]/)
  t.regex(noisy.errors, /200 bytes/)
  t.is(bare.status, 2)
  t.regex((await kith(node, 'members')).out, /phone +revoked .* revoked 2027-01-15: lost /)

  const approved = await kith(node, 'approve', 'guest')
  t.deepEqual([approved.status, approved.out], [0, 'guest is approved; it joins within seconds\n'])
  const gone = await kith(node, 'approve', '--deny', 'guest')
  t.is(gone.status, 1)
  t.regex(gone.errors, /\[join-not-pending\]/)
  t.deepEqual(node.control.calls.at(-1), ['approve', { peer: 'guest', deny: true }])
})

test('authorities are listed, added, retired, and asked for by file', async (t) => {
  await using node = await start()
  const file = join(node.directory, 'request')
  const [list, added, waiting, asked, nothing, role] = await Promise.all([
    kith(node, 'authority', 'ls'),
    kith(node, 'authority', 'add', 'attic', '--role', 'admit', 'dns'),
    kith(node, 'authority', 'add', 'phone', '--json'),
    kith(node, 'authority', 'retire', 'attic', '--stolen', '--request', file),
    kith(node, 'authority', 'add'),
    kith(node, 'authority', 'add', 'attic', '--role', 'king'),
  ])
  t.regex(list.out, /^NAME +ROLES +CERTIFICATE ENDS +ID\nattic +admit,revoke +in 100 d +12D3/)
  t.regex(
    list.out,
    /\n\nOnly attic can admit or revoke\. If that machine is lost, nobody can until.*\n  kith authority add NODE\n$/,
  )
  t.is(added.out, 'attic is an authority\n')
  t.like(JSON.parse(waiting.out), { name: 'phone', state: 'waiting', request: null })
  t.regex(asked.out, /kith root sign .*request/)
  t.is(readFileSync(file, 'utf8'), 'kith-root-request:abc\n')
  t.is(nothing.status, 2)
  t.is(role.status, 2)
  const calls = node.control.calls.filter(([name]) => name === 'addAuthority' || name === 'retireAuthority')
  t.is(calls.length, 3)
  t.true(
    calls.some(
      ([, input]) => JSON.stringify(input) === '{"peer":"attic","roles":["admit","dns"],"request":false}',
    ),
  )
  t.true(calls.some(([, input]) => (input as { stolen?: boolean }).stolen === true))
  const again = await kith(node, 'authority', 'retire', 'attic', '--request', file)
  t.regex(again.errors, /\[root-file-unwritable\]/, 'no file is written over')
})

test('the root key moves to a file, signs there, and is not moved where it cannot be', async (t) => {
  await using node = await start()
  const path = (name: string): string => join(node.directory, name)
  const none = await kith(node, 'root', 'export', path('out'))
  t.regex(none.errors, /\[root-key-missing\]/)
  const seed = new Uint8Array(32).fill(5)
  writeFileSync(path('root.key'), seed, { mode: 0o600 })
  writeFileSync(path('taken'), '')
  const taken = await kith(node, 'root', 'export', path('taken'))
  t.regex(taken.errors, /\[root-file-unwritable\]/)
  t.true(existsSync(path('root.key')), 'it is still there')
  const plain = await kith(node, 'root', 'export', path('out'), '--json')
  t.like(JSON.parse(plain.out), { encrypted: false })
  t.regex(plain.errors, /NOT encrypted/)
  t.is(statSync(path('out')).mode & 0o777, 0o600)
  t.false(existsSync(path('root.key')))

  const { publicKey } = ed25519Signer(seed)
  const made = { name: 'home', x509Root: Uint8Array.of(0x30, 0), now: 1_800_000_000_000 }
  const act = { act: 'add' as const, key: publicKey, name: 'attic', roles: ['admit' as const] }
  const request = (rootKey: Uint8Array): string =>
    writeRequest(makeRoot({ ...made, rootKeys: [rootKey] }), act)
  writeFileSync(path('request'), request(publicKey))
  writeFileSync(path('foreign'), request(new Uint8Array(32).fill(1)))
  const sign = (file: string, out: string, key = 'out') =>
    kith(node, 'root', 'sign', path(file), '--key', path(key), '--out', path(out))
  const [signed, foreign, noKey, noRequest] = await Promise.all([
    sign('request', 'answer'),
    sign('foreign', 'answer-2'),
    sign('request', 'answer-3', 'taken'),
    sign('out', 'answer-4'),
  ])
  t.regex(signed.out, /makes attic \(12D3KooW\w+\) an authority with the roles admit in the mesh "home"/)
  t.regex(readFileSync(path('answer'), 'utf8'), /^kith-root-signed:/)
  t.regex(foreign.errors, /\[root-key-wrong\]/)
  t.regex(noKey.errors, /\[root-file-unreadable\]/)
  t.regex(noRequest.errors, /\[ceremony-malformed\]/)
  t.false(existsSync(path('answer-2')))
})
