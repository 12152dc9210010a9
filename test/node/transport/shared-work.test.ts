import test from 'ava'
import { SharedWork } from '../../../node/transport/shared-work.ts'

function work() {
  const begun: { signal: AbortSignal; end: PromiseWithResolvers<number> }[] = []
  const begin = (signal: AbortSignal): Promise<number> => {
    const end = Promise.withResolvers<number>()
    begun.push({ signal, end })
    signal.addEventListener('abort', () => end.reject(signal.reason as Error))
    return end.promise
  }
  return { begun, begin }
}

const never = new AbortController().signal

test('what forty ask for at once is done once, and all are told; who comes later begins anew', async (t) => {
  const shared = new SharedWork<number>()
  const { begun, begin } = work()
  const forty = Array.from({ length: 40 }, () => shared.join('a', begin, never))
  const other = shared.join('b', begin, never)
  t.is(begun.length, 2, 'another key is another work')
  begun[0]!.end.resolve(7)
  t.deepEqual(new Set(await Promise.all(forty)), new Set([7]))
  t.false(begun[1]!.signal.aborted)
  begun[1]!.end.reject(new Error('refused'))
  await t.throwsAsync(other, { message: 'refused' })
  const again = shared.join('a', begin, never)
  t.is(begun.length, 3)
  begun[2]!.end.resolve(8)
  t.is(await again, 8)
})

test('who leaves does not end it for the others; with the last one it ends, and nobody joins what is ending', async (t) => {
  const shared = new SharedWork<number>()
  const { begun, begin } = work()
  const [first, second] = [new AbortController(), new AbortController()]
  const one = shared.join('a', begin, first.signal)
  const two = shared.join('a', begin, second.signal)
  first.abort(new Error('tired'))
  await t.throwsAsync(one, { message: 'tired' })
  t.false(begun[0]!.signal.aborted)
  second.abort(new Error('tired too'))
  t.true(begun[0]!.signal.aborted)
  const three = shared.join('a', begin, never)
  await t.throwsAsync(two, { message: 'tired too' })
  t.is(begun.length, 2)
  begun[1]!.end.resolve(9)
  t.is(await three, 9)
  await t.throwsAsync(shared.join('a', begin, AbortSignal.abort(new Error('gone'))), { message: 'gone' })
  t.is(begun.length, 2, 'whoever is gone already begins nothing')
})
