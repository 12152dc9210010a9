import test from 'ava'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { certainPath, expectedPath, type ExpectedPath } from '../../../protocols/traversal/expected-path.ts'
import {
  DEPENDENCES,
  type PartialStanding,
  type PathStanding,
  type Standing,
} from '../../../protocols/traversal/nat.ts'
import { NAT_KINDS } from '../../../simulations/lab/nat-kinds.ts'

/** The kinds of the matrix, as the lab's tester finds them. */
const KINDS: Readonly<Record<string, Standing>> = {
  open: 'dialable',
  'full-cone': NAT_KINDS['full-cone'].tcp,
  'address-restricted': NAT_KINDS['address-restricted'].tcp,
  'port-restricted': NAT_KINDS['port-restricted'].tcp,
  'other-port': NAT_KINDS['port-restricted-other-port'].tcp,
  symmetric: NAT_KINDS.symmetric.tcp,
  sequential: NAT_KINDS['symmetric-sequential'].tcp,
  cgnat: NAT_KINDS['port-restricted'].tcp,
  'linux-open': NAT_KINDS['linux-open'].tcp,
}

const CELLS: Readonly<Record<ExpectedPath['reason'], string>> = {
  'peer-dialable': 'dial',
  'ports-known': 'punch P',
  'filter-admits-any-port': 'punch F',
  'port-unknown': 'relay 1',
  'both-ports-unknown': 'relay 2',
}

test('what two kinds of NAT can expect does not depend on who begins', (t) => {
  for (const one of Object.values(KINDS))
    for (const other of Object.values(KINDS)) t.deepEqual(expectedPath(one, other), expectedPath(other, one))
})

test('the README shows the matrix', (t) => {
  const names = Object.keys(KINDS)
  const rows = names.map((name) =>
    [
      name,
      ...names.map(
        (other) => CELLS[expectedPath(KINDS[name] ?? 'dialable', KINDS[other] ?? 'dialable').reason],
      ),
    ].join(' | '),
  )
  const table = [
    `| | ${names.join(' | ')} |`,
    `|---|${names.map(() => '---|').join('')}`,
    ...rows.map((row) => `| ${row} |`),
  ]
  const readme = readFileSync(
    join(import.meta.dirname, '..', '..', '..', 'protocols/traversal/README.md'),
    'utf8',
  )
  const shown = /<!-- matrix -->\n([\s\S]*?)\n*<!-- \/matrix -->/.exec(readme)?.[1]?.trim()
  t.is(shown, table.join('\n'))
})

test('most pairs meet directly', (t) => {
  const paths = Object.values(KINDS).flatMap((one) =>
    Object.values(KINDS).map((other) => expectedPath(one, other).path),
  )
  const count = (path: string): number => paths.filter((each) => each === path).length
  t.deepEqual(
    { dial: count('dial'), punch: count('punch'), relay: count('relay') },
    { dial: 17, punch: 44, relay: 20 },
  )
})

const PARTIAL: readonly PartialStanding[] = [
  'dialable',
  ...[...DEPENDENCES, null].flatMap((mapping) =>
    [...DEPENDENCES, null].map((filtering) => ({ mapping, filtering })),
  ),
]

test('what is partly known is certain exactly where every way to complete it leads to the same path', (t) => {
  const fits = (part: PartialStanding, whole: PathStanding): boolean =>
    part === 'dialable' || whole === 'dialable'
      ? part === whole
      : (part.mapping ?? whole.mapping) === whole.mapping &&
        (part.filtering ?? whole.filtering) === whole.filtering
  const wholes: PathStanding[] = [
    'dialable',
    ...DEPENDENCES.flatMap((mapping) => DEPENDENCES.map((filtering) => ({ mapping, filtering }))),
  ]
  for (const one of PARTIAL) {
    for (const other of PARTIAL) {
      const all = wholes
        .filter((whole) => fits(one, whole))
        .flatMap((own) => wholes.filter((whole) => fits(other, whole)).map((its) => expectedPath(own, its)))
      const found = certainPath(one, other)
      const label = JSON.stringify([one, other])
      if (found === null) t.true(new Set(all.map(({ path }) => path)).size > 1, label)
      else {
        t.true(
          all.every(({ path }) => path === found.path),
          label,
        )
        t.true(
          all.some(({ reason }) => reason === found.reason),
          label,
        )
      }
      t.is(certainPath(one, null), null)
    }
  }
})

test('a symmetric NAT never meets one that lets in only the very port, whatever that one maps like', (t) => {
  const symmetric = {
    mapping: 'address-and-port-dependent',
    filtering: 'address-and-port-dependent',
  } as const
  const seenByOne = { mapping: null, filtering: 'address-and-port-dependent' } as const
  t.deepEqual(certainPath(symmetric, seenByOne), { path: 'relay', reason: 'port-unknown' })
  t.deepEqual(certainPath(seenByOne, symmetric), { path: 'relay', reason: 'port-unknown' })
  t.is(certainPath(seenByOne, seenByOne), null, 'two of which that is all that is known just try')
  t.deepEqual(certainPath('dialable', seenByOne), { path: 'dial', reason: 'peer-dialable' })
})
