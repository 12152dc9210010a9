import test from 'ava'
import fc from 'fast-check'
import { InviteInputSchema, type AuthorityRow, type MemberRow } from '../../node/api/schemas.ts'
import { ceremonyOf } from '../../ui/src/models/ceremony.ts'
import { createInviteForm } from '../../ui/src/models/invite-form.ts'
import {
  filterMembers,
  isRevocable,
  listed,
  mayAct,
  soleAuthorityText,
  whyNot,
} from '../../ui/src/models/member-list.ts'
import { waitingMembers } from '../../ui/src/models/waiting-members.ts'
import { FakeControl } from '../node/http/fake-control.ts'

const REVOKED = { at: 5, reason: 'lost on a train', by: 'attic' }

function member(given: Partial<MemberRow>): MemberRow {
  return { ...new FakeControl().membersNow[2]!, ...given }
}

test('members are found by any word; the revoked come last, the newest first, and who waits is apart', (t) => {
  const members = [
    member({ name: 'gone', state: 'revoked', revoked: REVOKED }),
    member({ name: 'newly-gone', state: 'revoked', revoked: { ...REVOKED, at: 9, reason: '' } }),
    ...new FakeControl().membersNow,
    member({ name: 'slow', state: 'suspect' }),
  ]
  const names = (text: string): (string | null)[] => filterMembers(members, text).map(({ name }) => name)
  t.deepEqual(names(''), ['slow', 'attic', 'here', 'phone', 'newly-gone', 'gone'])
  t.deepEqual(names('TAG:web alive'), ['attic'])
  t.deepEqual(names('authority admit'), ['attic', 'here'])
  t.deepEqual(names('train'), ['gone'])
  t.deepEqual(names('guest'), [])
  const [first, second] = [7, 3].map((pendingSince) => member({ state: 'pending', pendingSince }))
  t.deepEqual(waitingMembers([first!, ...members.slice(0, 2), second!]), [second, first])
  t.deepEqual(waitingMembers(null), [])
})

test('a node that may not do something says which nodes may, and which of them are away', (t) => {
  const authority = { roles: ['admit' as const], expires: 1 }
  const self = member({ name: 'here', self: true })
  const cases: [MemberRow[] | null, boolean, string | null][] = [
    [null, false, null],
    [[self], false, 'This node is no authority that may let machines in, and it knows of none that may.'],
    [[{ ...self, authority }], true, null],
    [
      [{ ...self, authority, state: 'revoked' }],
      false,
      'This node is no authority that may let machines in, and it knows of none that may.',
    ],
    [
      [
        self,
        member({ name: 'attic', authority }),
        member({ name: 'cabin', authority, state: 'dead' }),
        member({ name: 'gone', authority, state: 'revoked' }),
      ],
      false,
      'This node is no authority that may let machines in. attic and cabin (dead) may.',
    ],
  ]
  for (const [members, may, why] of cases) {
    t.is(mayAct(members, 'admit'), may)
    t.is(whyNot(members, 'admit'), why)
  }
  t.regex(whyNot([{ ...self, authority }], 'revoke') ?? '', /may revoke members/, 'each act by itself')
  t.true(isRevocable(member({})))
  for (const given of [{ self: true }, { state: 'revoked' as const }, { state: 'pending' as const }])
    t.false(isRevocable(member(given)))
  t.deepEqual([listed([]), listed(['a']), listed(['a', 'b', 'c'])], ['', 'a', 'a, b and c'])
})

test('one authority alone is told what is lost with it', (t) => {
  const row = (name: string, ...roles: AuthorityRow['roles']): AuthorityRow => ({
    id: name,
    name,
    roles,
    expires: 1,
    self: false,
  })
  for (const [rows, text] of [
    [[], null],
    [[row('a', 'admit', 'revoke'), row('b', 'admit', 'revoke')], null],
    [
      [row('a', 'admit', 'revoke')],
      /^Only a can let machines in and revoke members\. If that machine is lost/,
    ],
    [[row('a', 'admit', 'revoke'), row('b', 'admit')], /^Only a can revoke members\./],
    [
      [row('a', 'admit'), row('b', 'revoke')],
      /One machine alone lets machines in, and another alone revokes/,
    ],
  ] as const) {
    const said = soleAuthorityText(rows)
    if (text === null) t.is(said, null)
    else t.regex(said ?? '', text)
  }
})

test('the ceremony is one command where the root key is, and three where it is not', (t) => {
  const commands = (...given: Parameters<typeof ceremonyOf>): string[] =>
    ceremonyOf(...given).map(({ command }) => command)
  t.deepEqual(commands({ act: 'add', peer: 'attic', roles: ['revoke', 'admit'] }, true), [
    'kith authority add attic',
  ])
  t.deepEqual(commands({ act: 'add', peer: 'attic', roles: ['dns', 'admit'] }, false), [
    'kith authority add attic --role dns admit --request request.txt',
    'kith root sign request.txt --key KEYFILE --out answer.txt',
    'kith authority add --signed answer.txt',
  ])
  t.deepEqual(commands({ act: 'retire', peer: 'attic', reason: ` it's $HOME `, stolen: true }, true), [
    `kith authority retire attic --reason 'it'\\''s $HOME' --stolen`,
  ])
  t.is(commands({ act: 'retire', peer: 'attic', reason: '', stolen: false }, false).length, 3)
})

test('the invite form sends what the node would take, and nothing else', (t) => {
  const form = createInviteForm()
  t.true(form.valid.value)
  t.deepEqual(InviteInputSchema.parse(form.input.value), InviteInputSchema.parse({}))
  form.kind.value = 'approve'
  form.tags.value = 'web, family web'
  form.toggle('relay', true)
  form.toggle('dns', true)
  form.toggle('dns', false)
  t.like(form.input.value, { approve: true, tags: ['web', 'family'], roles: ['relay'] })
  form.kind.value = 'peer'
  t.deepEqual(Object.keys(form.problems.value), ['name', 'peer'])
  form.name.value = 'nas'
  form.peer.value = '12D3KooWKnDdG3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8'
  const { approve, uses, ...rest } = InviteInputSchema.parse(form.input.value)
  t.deepEqual([approve, uses], [false, 1], 'what is for one machine has one use and waits for nobody')
  t.like(rest, { name: 'nas', peer: form.peer.value })
  fc.assert(
    fc.property(
      fc.constantFrom('link', 'approve', 'peer'),
      fc.string(),
      fc.oneof(fc.string(), fc.constant(form.peer.value)),
      fc.oneof(fc.integer(), fc.double()),
      fc.string(),
      (kind, name, peer, uses, tags) => {
        form.kind.value = kind as 'link'
        form.name.value = name
        form.peer.value = peer
        form.uses.value = uses
        form.tags.value = tags
        return !form.valid.value || InviteInputSchema.safeParse(form.input.value).success
      },
    ),
  )
})
