import test from 'ava'
import { netcheckText } from '../../../node/cli/commands/netcheck.ts'
import { FakeControl } from '../http/fake-control.ts'

test('the text of a check says when it was measured, and each thing once', (t) => {
  const report = new FakeControl().netcheckNow
  const now = (report.measuredAt ?? 0) + 65_000
  const text = netcheckText({ ...report, silent: [...report.silent, ...report.silent] }, now)
  t.regex(text, /^measured {3}1 min ago$/m)
  t.regex(text, /^nat {8}port-restricted$/m)
  t.regex(text, /^hairpins {3}not known: Nobody has tried yet\.$/m)
  t.regex(text, /^mapped {5}no: No router answered .* Switch one of them on/m)
  t.regex(text, /^IPv6 {7}2003:e8:9f0b::7: members that have it too are met directly/m)
  t.regex(netcheckText({ ...report, ipv6: null }, now), /^IPv6 {7}no address of the internet$/m)
  t.is(text.match(/said nothing/g)?.length, 1)
  const reached = netcheckText({ ...report, dialable: true, measuredAt: null }, now)
  t.regex(reached, /^measured {3}not yet: no other member could be asked$/m)
  t.regex(reached, /^mapped {5}no, and none is needed$/m, 'what is not needed needs no fix')
})
