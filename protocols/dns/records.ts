/** The resource records Kith answers with, in the shape `dns-packet` encodes; ttl in seconds. */
export type ResourceRecord = { readonly name: string; readonly ttl: number } & (
  | { readonly type: 'A' | 'AAAA' | 'NS'; readonly data: string }
  | {
      readonly type: 'SRV'
      readonly data: {
        readonly priority: number
        readonly weight: number
        readonly port: number
        readonly target: string
      }
    }
  | {
      readonly type: 'SOA'
      readonly data: {
        readonly mname: string
        readonly rname: string
        readonly serial: number
        readonly refresh: number
        readonly retry: number
        readonly expire: number
        readonly minimum: number
      }
    }
)
