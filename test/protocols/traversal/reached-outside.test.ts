import test from 'ava'
import type { Observations } from '../../../protocols/traversal/classify.ts'
import { reachedOutside } from '../../../protocols/traversal/reached-outside.ts'

const ip = (text: string): Uint8Array => Uint8Array.from(text.split('.').map(Number))
const local = ip('192.168.1.2')
const outside = '52.0.0.9'

/** Views as `reflector says outside`. */
function seen(...views: [reflector: string, outside: string][]): Pick<Observations, 'reached' | 'views'> {
  return {
    reached: true,
    views: views.map(([reflector, says]) => ({
      reflector: { ip: ip(reflector), port: 4701 },
      outside: { ip: ip(says), port: 40_001 },
    })),
  }
}

test('an outside address is announced only where nobody alone can have made it up', (t) => {
  const two = seen(['52.0.0.1', outside], ['52.0.0.2', outside])
  const cases: [string, Pick<Observations, 'reached' | 'views'>, Uint8Array[], number, string | null][] = [
    ['two agree', two, [local], 2, outside],
    ['two agree of many', two, [local], 9, outside],
    ['two ports of one member', seen(['52.0.0.1', outside], ['52.0.0.1', outside]), [local], 2, null],
    ['one answered of two', seen(['52.0.0.1', outside]), [local], 2, null],
    ['the only public member', seen(['52.0.0.1', outside]), [local], 1, outside],
    ['they contradict each other', seen(['52.0.0.1', outside], ['52.0.0.2', '52.0.0.66']), [local], 2, null],
    ['an address of its own is public', two, [local, ip('52.0.0.5')], 2, null],
    ['an IPv6 address of its own is', two, [local, new Uint8Array(16).fill(0x20)], 2, outside],
    ['not reached', { ...two, reached: false }, [local], 2, null],
    ['not known to be reached', { ...two, reached: null }, [local], 2, null],
    ['a private outside', seen(['10.0.0.1', '10.0.0.7'], ['10.0.0.2', '10.0.0.7']), [local], 2, null],
    ['nobody said anything', seen(), [local], 0, null],
  ]
  for (const [label, observations, own, reflectors, expected] of cases) {
    const found = reachedOutside(observations, own, reflectors)
    t.deepEqual(found === null ? null : [...found].join('.'), expected, label)
  }
})
