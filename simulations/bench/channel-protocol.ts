/* What the bench and the two processes of a stack say to each other over the pipe between them. */

/** The stacks in the order they are measured; `stacks.ts` has them. */
export const STACK_NAMES = ['raw', 'plaintext', 'noise-xx', 'kith-stream', 'kith'] as const
/** A stack's name. */
export type StackName = (typeof STACK_NAMES)[number]

/** What a sender does for a while. */
export type Load = 'bulk' | 'messages' | 'echo'

/** What the bench asks of a process. */
export type Question =
  | { readonly verb: 'listen' }
  | { readonly verb: 'dial'; readonly address: string }
  /** Starts counting CPU and received bytes anew. */
  | { readonly verb: 'begin'; readonly load: Load }
  | { readonly verb: 'send'; readonly load: Load; readonly forMs: number }
  /** Waits until this many bytes have arrived since `begin`. */
  | { readonly verb: 'receive'; readonly sizeBytes: number }
  | { readonly verb: 'end' }

/** What it answers. */
export interface Answer {
  readonly address?: string
  readonly sentBytes?: number
  /** Round trips in µs. */
  readonly times?: readonly number[]
  /** From the first byte to the last. */
  readonly receivedInMs?: number
  readonly cpuUs?: number
  readonly error?: string
}

/** Size of one send under `bulk`: the largest a TCP socket usually hands over at once. */
export const BULK_BYTES = 65_536
/** Size of one send under `messages` and `echo`. */
export const MESSAGE_BYTES = 128
