import test from 'ava'
import { natKind } from '../../../protocols/traversal/nat.ts'
import { NAT_KINDS } from '../../../simulations/lab/nat-kinds.ts'

test('what a NAT does has the name people call it by, as far as enough of it is known', (t) => {
  for (const [kind, name] of [
    ['full-cone', 'full-cone'],
    ['address-restricted', 'address-restricted'],
    ['port-restricted', 'port-restricted'],
    ['port-restricted-other-port', 'port-restricted'],
    ['symmetric', 'symmetric'],
    ['symmetric-sequential', 'symmetric'],
    ['address-dependent', 'symmetric'],
    ['linux-open', 'port-restricted'],
    ['hairpin', 'full-cone'],
  ] as const) {
    const { mapping, filtering } = NAT_KINDS[kind].tcp
    t.is(natKind(mapping, filtering), name, kind)
  }
  t.is(natKind('endpoint-independent', null), null)
  t.is(natKind('address-dependent', null), 'symmetric')
  t.is(natKind(null, 'endpoint-independent'), null)
})
