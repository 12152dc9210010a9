import test from 'ava'
import { tellingFailure } from '../../../node/transport/telling-failure.ts'

test('what a handshake or a relay said is told, unless a later dial did not come that far', (t) => {
  const handshake = { code: 'relay-off', at: 100_000 }
  const dial = (at: number) => ({ code: 'dial-refused', at })
  t.is(tellingFailure(undefined, undefined), undefined)
  t.is(tellingFailure(handshake, undefined), handshake)
  t.like(tellingFailure(undefined, dial(1)), { code: 'dial-refused' })
  t.is(tellingFailure(handshake, dial(99_000)), handshake)
  t.is(tellingFailure(handshake, dial(115_000)), handshake, 'the same dial, by another way')
  t.like(tellingFailure(handshake, dial(115_001)), { code: 'dial-refused' })
})
