/** An OPEN names one service; its answer is a code and a sentence. */
export const OPEN_BYTES_MAX = 1024
/** The sentence of a refusal is cut here: with three bytes for each character it still fits an answer beside its code. */
export const REFUSAL_CHARACTERS_MAX = 300
/** Streams one peer may have open to this node's services; a page opens tens, 200 parallel requests must pass. */
export const STREAMS_PER_PEER_MAX = 1024
/** How long the provider may take to reach its target before the consumer is told so. */
export const TARGET_CONNECT_TIMEOUT_MS = 5000
/** How long the consumer waits for the answer to an OPEN; longer than the provider's own time-out, so its reason arrives. */
export const OPEN_TIMEOUT_MS = 8000
/**
 * How long the provider's yes waits for the first bytes of the service, to leave in one record with them. Only a consumer
 * whose service says nothing first notices, and waits for nothing meanwhile.
 */
export const ACCEPT_DELAY_MS = 20

/** OPEN frames kept, so that a short connection does not encode and check one again; forgotten together when it is full. */
export const OPENS_REMEMBERED_MAX = 1024
