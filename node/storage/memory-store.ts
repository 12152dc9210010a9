import type { Store } from '../../protocols/common/ports.ts'

/** A store in memory over `map`: what is put into it can be thrown away, or moved to the disk as a whole. */
export function memoryStore(map = new Map<string, Uint8Array>()): Store {
  return {
    get: (key) => Promise.resolve(map.get(key)),
    put: (key, value) => Promise.resolve(void map.set(key, value)),
    delete: (key) => Promise.resolve(void map.delete(key)),
    async *entries(prefix) {
      const keys = [...map.keys()].filter((key) => key.startsWith(prefix)).sort()
      for (const key of keys) {
        const value = map.get(key)
        if (value !== undefined) yield [key, value]
      }
    },
  }
}
