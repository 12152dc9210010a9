import type { Random } from './ports.ts'

/** A number in [0, 1), from strong bytes. */
export function fraction(random: Random): number {
  const bytes = random.bytes(4)
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) / 2 ** 32
}
