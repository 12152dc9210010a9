import test from 'ava'
import { describeDuration } from '../../../protocols/common/duration.ts'

for (const [ms, text] of [
  [0, 'less than a second'],
  [999, 'less than a second'],
  [1000, '1 second'],
  [59_999, '59 seconds'],
  [60_000, '1 minute'],
  [7_200_000, '2 hours'],
  [86_400_000, '1 day'],
  [6_048_000_122, '70 days'],
] as const) {
  test(`${ms} ms is said as "${text}"`, (t) => {
    t.is(describeDuration(ms), text)
  })
}
