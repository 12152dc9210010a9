import test from 'ava'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expectedPath, type ExpectedPath } from '../../../protocols/traversal/expected-path.ts'
import type { Standing } from '../../../protocols/traversal/nat.ts'
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
