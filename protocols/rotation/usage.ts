/**
 * How much the keys in use have served. Counters of the sending direction restart when the writer switches, those of the
 * receiving direction when the reader does. Read at each record, so it should be one live object: see `usageOf`.
 */
export interface Usage {
  readonly sentRecords: number
  /** Plaintext. */
  readonly sentBytes: number
  readonly receivedRecords: number
  /** Plaintext. */
  readonly receivedBytes: number
}

/** A live view of the counters a record writer and reader keep; made once for a connection, reads without allocating. */
export function usageOf(
  writer: { readonly records: number; readonly sizeBytes: number },
  reader: { readonly records: number; readonly openedBytes: number },
): Usage {
  return {
    get sentRecords() {
      return writer.records
    },
    get sentBytes() {
      return writer.sizeBytes
    },
    get receivedRecords() {
      return reader.records
    },
    get receivedBytes() {
      return reader.openedBytes
    },
  }
}

/** Records of the busier direction. */
export function recordsOf(usage: Usage): number {
  return Math.max(usage.sentRecords, usage.receivedRecords)
}

/** Plaintext bytes of the busier direction. */
export function bytesOf(usage: Usage): number {
  return Math.max(usage.sentBytes, usage.receivedBytes)
}
