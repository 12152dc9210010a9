import test from 'ava'
import fc from 'fast-check'
import { buildDirectory, type NamedMember, type NamedService } from '../../../protocols/naming/directory.ts'
import { loopbackAddress } from '../../../protocols/naming/loopback.ts'
import { checkName, parseName } from '../../../protocols/naming/names.ts'
import { answerQuestion, type LocalView } from '../../../protocols/naming/zone.ts'

const service = (name: string, publishedAt = 1): NamedService => ({
  name,
  proto: 'http',
  port: 80,
  healthy: true,
  allow: ['members'],
  crossSite: false,
  publishedAt,
})
const member = (
  id: string,
  services: NamedService[],
  state: NamedMember['state'] = 'alive',
): NamedMember => ({
  id,
  key: Uint8Array.from(Buffer.from(id.padEnd(32))),
  name: id,
  state,
  addresses: ['10.0.0.7', 'fd00::7'],
  services,
})

test('names of the mesh are told apart by their shape, in any letter case and with the final dot', (t) => {
  const read = (name: string) => parseName(name, 'home.internal')
  t.deepEqual(read('wiki.home.internal'), { kind: 'service', service: 'wiki' })
  t.deepEqual(read('WIKI.Home.Internal.'), { kind: 'service', service: 'wiki' })
  t.deepEqual(read('nas.node.home.internal'), { kind: 'node', node: 'nas' })
  t.deepEqual(read('wiki.nas.node.home.internal'), { kind: 'provider', service: 'wiki', node: 'nas' })
  t.deepEqual(read('home.internal'), { kind: 'apex' })
  t.deepEqual(read('a.b.home.internal'), { kind: 'other' })
  t.is(read('wiki.example.com'), undefined)
  t.is(read('evilhome.internal'), undefined)
})

for (const name of ['acme', 'node', 'ns', 'wpad', 'isatap', 'localhost']) {
  test(`the name ${name} is reserved`, (t) => {
    t.is((t.throws(() => checkName(name)) as { code?: string }).code, 'name-reserved')
  })
}
for (const name of ['', '_dmarc', 'Wiki', 'a.b', '-a', 'a-', 'ä', 'a'.repeat(64)]) {
  test(`"${name.slice(0, 20)}" is no service name`, (t) => {
    t.is((t.throws(() => checkName(name)) as { code?: string }).code, 'name-invalid')
  })
}

test('a name belongs to whoever published it first; everybody computes the same owner in any order', (t) => {
  const early = member('b', [service('wiki', 5)])
  const late = member('a', [service('wiki', 9), service('blog', 1)])
  fc.assert(
    fc.property(fc.shuffledSubarray([early, late], { minLength: 2 }), (members) => {
      const directory = buildDirectory(members)
      return (
        directory.services.get('wiki')?.provider.id === 'b' &&
        directory.clashes.length === 1 &&
        directory.clashes[0]?.provider.id === 'a'
      )
    }),
  )
  const tie = buildDirectory([member('b', [service('wiki', 5)]), member('a', [service('wiki', 5)])])
  t.is(tie.services.get('wiki')?.provider.id, 'a')
})

test('a member that left has no names; one that died keeps them, so that the gateway can say why', (t) => {
  t.is(buildDirectory([member('a', [service('wiki')], 'left')]).services.size, 0)
  t.is(buildDirectory([member('a', [service('wiki')], 'dead')]).services.size, 1)
})

test('loopback addresses stay in 127.64.0.0/10, are stable, and differ by node and attempt', (t) => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.nat(15), (node, name, attempt) => {
      const [a, b] = loopbackAddress(node, name, attempt).split('.').map(Number) as [number, number]
      return a === 127 && b >= 64 && b <= 127
    }),
  )
  t.is(loopbackAddress('n', 'wiki', 0), loopbackAddress('n', 'wiki', 0))
  t.is(
    new Set([
      loopbackAddress('n', 'wiki', 0),
      loopbackAddress('n', 'wiki', 1),
      loopbackAddress('m', 'wiki', 0),
    ]).size,
    3,
  )
})

const view: LocalView = {
  domain: 'home.internal',
  self: 'nas',
  serial: 7,
  directory: buildDirectory([member('nas', [service('wiki')])]),
  endpoint: (entry) => (entry.service.name === 'wiki' ? { address: '127.64.0.1', port: 4743 } : undefined),
}
const questions: [name: string, type: string, rcode: string, data: unknown[]][] = [
  ['wiki.home.internal', 'A', 'NOERROR', ['127.64.0.1']],
  ['wiki.home.internal', 'AAAA', 'NOERROR', []],
  ['nas.node.home.internal', 'A', 'NOERROR', ['10.0.0.7']],
  ['nas.node.home.internal', 'AAAA', 'NOERROR', ['fd00::7']],
  ['wiki.nas.node.home.internal', 'A', 'NOERROR', ['127.64.0.1']],
  ['node.home.internal', 'A', 'NOERROR', []],
  ['nothing.home.internal', 'A', 'NXDOMAIN', []],
  ['blog.nas.node.home.internal', 'A', 'NXDOMAIN', []],
  ['home.internal', 'NS', 'NOERROR', ['nas.node.home.internal']],
  [
    '_http._tcp.wiki.home.internal',
    'SRV',
    'NOERROR',
    [{ priority: 0, weight: 0, port: 4743, target: 'wiki.home.internal' }],
  ],
  ['_ssh._tcp.wiki.home.internal', 'SRV', 'NXDOMAIN', []],
  ['example.com', 'A', 'REFUSED', []],
]
for (const [name, type, rcode, data] of questions) {
  test(`${name} ${type} is answered ${rcode} with ${data.length} record(s)`, (t) => {
    const answer = answerQuestion(view, name, type)
    t.is(answer.rcode, rcode as 'NOERROR')
    t.deepEqual(
      answer.answers.map((record) => record.data as unknown),
      data,
    )
    // RFC 2308: a negative answer carries the SOA, so that it can be cached.
    t.is(answer.authority.length, rcode !== 'REFUSED' && data.length === 0 ? 1 : 0)
  })
}
